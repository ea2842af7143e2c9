//! Scrapes: how large swarms are.

use super::Registry;
use super::conn::ConnId;
use super::tokens::TokenFault;
use crate::out::{Out, SendKind};
use crate::protocol::{Action, Fault, Refusal, Scrape, write_scraped};

impl Registry {
    pub(super) fn scrape<'a>(
        &mut self,
        conn: ConnId,
        scrape: &Scrape<'a>,
        out: &mut Out,
    ) -> Result<(), Fault<'a>> {
        self.counters.scrapes += 1;
        let (swarms, allowed) = (scrape.swarms.len(), self.limits.swarms_per_scrape);
        if swarms > allowed {
            let refusal = Refusal::ScrapeTooLong { swarms, allowed };
            return Err(Fault { action: Action::Scrape, info_hash: None, refusal });
        }
        if let Some(state) = self.conns.get_mut(conn) {
            state.announced = true;
            // Where tokens are asked for, the size of a swarm is its members' business.
            if self.tokens.are_asked_for()
                && scrape.swarms.iter().any(|(id, _)| state.membership(*id).is_none())
            {
                let refusal = Refusal::Token(TokenFault::Missing);
                return Err(Fault { action: Action::Scrape, info_hash: None, refusal });
            }
        }
        let sizes = scrape.swarms.iter().map(|(id, _)| {
            let (complete, incomplete) = self.size(*id);
            // Only what members here said: it is of use to nobody, and nobody replicates it.
            (*id, complete, incomplete, self.swarm(*id).map_or(0, |swarm| swarm.downloaded))
        });
        out.send(conn, SendKind::Reply, |text| write_scraped(text, sizes));
        Ok(())
    }
}
