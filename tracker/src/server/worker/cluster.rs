//! A worker's part in the cluster: what others said is heard, what is due is told.

use super::Worker;

impl Worker {
    /// Takes what other workers and processes said. Bounded, so that connections have their turn.
    pub(super) fn hear(&mut self) {
        const FRAMES_PER_TURN: usize = 512;
        let Some(inbox) = self.core.inbox.take() else { return };
        inbox.listen();
        self.heard_more = true;
        for _ in 0..FRAMES_PER_TURN {
            let Some(frame) = inbox.take() else {
                self.heard_more = false;
                break;
            };
            let core = &mut self.core;
            core.registry.hear(core.now, &mut core.rng, &frame, &mut core.out);
            self.deliver();
        }
        self.core.inbox = Some(inbox);
    }

    pub(super) fn tick_cluster(&mut self) {
        if self.core.registry.cluster_due().is_some_and(|due| due <= self.core.now) {
            self.core.registry.tick_cluster(self.core.now, &mut self.core.out);
        }
    }
}
