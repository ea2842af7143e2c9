//! A viewer with scripted trackers and a shell that makes descriptions, in simulated time.

use std::collections::{BTreeMap, VecDeque};

use crate::random::ChaCha8Rng;
use rand::SeedableRng;
use serde_json::{Value, json};

use crate::config::Config;
use crate::engine::{Event, LinkCloseCause, Output};
use crate::id::{Id20, LinkId, PeerId, SwarmId, TrackerId};
use crate::signal::Signal;
use crate::signal::links::Stage;
use crate::time::{Span, Time};

/// How a scripted tracker behaves.
#[derive(Clone, Debug, PartialEq)]
pub enum Tracker {
    /// Opens after 30 ms, replies after 20 ms with these fields.
    Good(Value),
    /// Refuses the connection after 10 ms.
    Dead,
    /// Never opens.
    Blackhole,
    /// Opens and says nothing.
    Mute,
}

impl Tracker {
    pub fn of_size(size: u32) -> Tracker {
        Tracker::Good(json!({ "interval": 120, "complete": 0, "incomplete": size, "trickle": true }))
    }
}

#[derive(Clone, Debug)]
enum Ahead {
    Up(TrackerId),
    Down(TrackerId),
    Text(TrackerId, String),
    Offer(LinkId),
    Answer(LinkId),
}

pub struct Rig {
    pub signal: Signal,
    pub rng: ChaCha8Rng,
    pub now: Time,
    pub own: PeerId,
    pub swarm: SwarmId,
    pub trackers: Vec<Tracker>,
    /// How single URLs behave, where that is not as their tracker does.
    pub nodes: BTreeMap<String, Tracker>,
    /// Which URL of each tracker was opened last.
    used: BTreeMap<TrackerId, String>,
    /// How long an offer takes to make; `None`: for ever.
    pub offer_ms: Option<u64>,
    pub answer_ms: Option<u64>,
    /// Everything that came out.
    pub log: Vec<(Time, Output)>,
    /// Wake-ups by deadline.
    pub ticks: usize,
    ahead: BTreeMap<(Time, u64), Ahead>,
    count: u64,
    open: BTreeMap<TrackerId, u64>,
    seen_created: usize,
}

pub fn peer(name: &str) -> PeerId {
    let mut id = *b"-HS0100-............";
    for (place, byte) in id.iter_mut().skip(8).zip(name.bytes()) {
        *place = byte;
    }
    Id20(id)
}

pub fn config(trackers: usize) -> Config {
    let mut config = Config::default();
    config.loader.tracker_announce =
        (0..trackers).map(|place| vec![format!("wss://tracker{place}.example/")]).collect();
    config
}

impl Rig {
    pub fn new(trackers: Vec<Tracker>) -> Rig {
        Rig::with(trackers, "mmm", |_| {})
    }

    pub fn with(trackers: Vec<Tracker>, name: &str, change: impl FnOnce(&mut Config)) -> Rig {
        let mut config = config(trackers.len());
        change(&mut config);
        let swarm = SwarmId::from_name("https://example.com/master.m3u8");
        let own = peer(name);
        Rig {
            signal: Signal::new(&config, swarm, own),
            rng: ChaCha8Rng::seed_from_u64(7),
            now: Time::from_millis(1000),
            own,
            swarm,
            trackers,
            nodes: BTreeMap::new(),
            used: BTreeMap::new(),
            offer_ms: Some(40),
            answer_ms: Some(40),
            log: Vec::new(),
            ticks: 0,
            ahead: BTreeMap::new(),
            count: 0,
            open: BTreeMap::new(),
            seen_created: 0,
        }
    }

    /// Calls the machine and runs what comes out.
    pub fn call<T>(
        &mut self,
        f: impl FnOnce(&mut Signal, Time, &mut ChaCha8Rng, &mut VecDeque<Output>) -> T,
    ) -> T {
        let mut out = VecDeque::new();
        let result = f(&mut self.signal, self.now, &mut self.rng, &mut out);
        for output in out {
            self.run_output(output);
        }
        result
    }

    pub fn start(&mut self) {
        self.call(|signal, now, rng, out| signal.start(now, rng, out));
    }

    fn later(&mut self, ms: u64, ahead: Ahead) {
        self.count += 1;
        self.ahead.insert((self.now + Span::from_millis(ms), self.count), ahead);
    }

    fn run_output(&mut self, output: Output) {
        match &output {
            Output::OpenTracker { tracker, url } => {
                self.count += 1;
                self.open.insert(*tracker, self.count);
                self.used.insert(*tracker, url.clone());
                match self.behaviour(*tracker) {
                    Tracker::Good(_) | Tracker::Mute => self.later(30, Ahead::Up(*tracker)),
                    Tracker::Dead => self.later(10, Ahead::Down(*tracker)),
                    Tracker::Blackhole => {}
                }
            }
            Output::CloseTracker { tracker } => {
                assert!(self.open.remove(tracker).is_some(), "closed twice");
                self.forget(*tracker);
            }
            Output::SendTracker { tracker, text } => {
                assert!(self.open.contains_key(tracker), "sent to a closed tracker: {text}");
                let message: Value = serde_json::from_str(text).unwrap();
                assert!(text.len() <= 64 * 1024);
                assert_eq!(message["info_hash"], self.swarm.0.to_latin1());
                assert_eq!(message["peer_id"], self.own.to_latin1());
                if let (Tracker::Good(reply), Some(offers)) =
                    (self.behaviour(*tracker), message["offers"].as_array())
                {
                    assert!(offers.len() <= 10);
                    let mut reply = reply;
                    reply["action"] = json!("announce");
                    reply["info_hash"] = json!(self.swarm.0.to_latin1());
                    self.later(20, Ahead::Text(*tracker, reply.to_string()));
                }
            }
            Output::CreateOffer { link } => {
                if let Some(ms) = self.offer_ms {
                    self.later(ms, Ahead::Offer(*link));
                }
            }
            Output::AcceptOffer { link, .. } => {
                if let Some(ms) = self.answer_ms {
                    self.later(ms, Ahead::Answer(*link));
                }
            }
            _ => {}
        }
        self.log.push((self.now, output));
    }

    fn behaviour(&self, tracker: TrackerId) -> Tracker {
        let node = self.used.get(&tracker).and_then(|url| self.nodes.get(url));
        node.unwrap_or(&self.trackers[tracker.0 as usize]).clone()
    }

    /// Forgets what a socket that is gone still had to bring.
    fn forget(&mut self, tracker: TrackerId) {
        self.ahead.retain(|_, ahead| match ahead {
            Ahead::Up(t) | Ahead::Down(t) | Ahead::Text(t, _) => *t != tracker,
            _ => true,
        });
    }

    /// Lets time pass.
    pub fn run(&mut self, ms: u64) {
        let end = self.now + Span::from_millis(ms);
        loop {
            let deadline = self.signal.next_deadline().map(|deadline| deadline.at.max(self.now));
            let ahead = self.ahead.keys().next().map(|key| key.0);
            let next = [deadline, ahead].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if ahead == Some(next) {
                let (_, ahead) = self.ahead.pop_first().unwrap();
                self.arrive(ahead);
            } else {
                self.ticks += 1;
                self.call(|signal, now, rng, out| signal.tick(now, rng, out));
                let left = self.signal.next_deadline();
                assert!(
                    left.is_none_or(|left| left.at > self.now),
                    "nothing was done at {}: {left:?}",
                    self.now
                );
            }
        }
        self.now = end;
    }

    /// The device sleeps: time passes, nothing happens.
    pub fn sleep(&mut self, ms: u64) {
        self.now = self.now + Span::from_millis(ms);
    }

    fn arrive(&mut self, ahead: Ahead) {
        match ahead {
            Ahead::Up(tracker) => self.call(|s, now, rng, out| s.tracker_up(now, rng, tracker, out)),
            Ahead::Down(tracker) => self.down(tracker.0),
            Ahead::Text(tracker, text) => self.text(tracker.0, &text),
            Ahead::Offer(link) => {
                let sdp = format!("v=0 offer {}", link.0);
                self.call(|s, now, rng, out| s.offer_ready(now, rng, link, sdp, out));
            }
            Ahead::Answer(link) => {
                let sdp = format!("v=0 answer {}", link.0);
                self.call(|s, now, rng, out| s.answer_ready(now, rng, link, sdp, out));
            }
        }
    }

    pub fn text(&mut self, tracker: u32, text: &str) {
        // As the swarm would: no second link to a peer, none beyond the limit.
        let up = self.signal.links.iter().filter(|(_, link)| matches!(link.stage, Stage::Up { .. }));
        let up: Vec<_> = up.filter_map(|(_, link)| link.peer()).collect();
        let most = self.signal.settings.max_links;
        let admits = |peer| up.len() < most && !up.contains(&peer);
        self.call(|s, now, rng, out| s.tracker_text(now, rng, TrackerId(tracker), text, &admits, out));
    }

    pub fn down(&mut self, tracker: u32) {
        self.open.remove(&TrackerId(tracker));
        self.forget(TrackerId(tracker));
        self.call(|s, now, rng, out| s.tracker_down(now, rng, TrackerId(tracker), "gone".to_owned(), out));
    }

    /// A peer's offer arrives.
    pub fn offer_from(&mut self, tracker: u32, name: &str, offer_id: &str) {
        let text = self.described(name, offer_id, "offer");
        self.text(tracker, &text);
    }

    /// A peer's answer arrives.
    pub fn answer_from(&mut self, tracker: u32, name: &str, offer_id: &str) {
        let text = self.described(name, offer_id, "answer");
        self.text(tracker, &text);
    }

    /// A peer's offer arrives and the swarm is asked.
    pub fn offer_if(&mut self, name: &str, admits: impl Fn(PeerId) -> bool) {
        let text = self.described(name, "if", "offer");
        self.call(|s, now, rng, out| s.tracker_text(now, rng, TrackerId(0), &text, &admits, out));
    }

    /// A peer's answer arrives and the swarm is asked.
    pub fn answer_if(&mut self, name: &str, offer_id: &str, admits: impl Fn(PeerId) -> bool) {
        let text = self.described(name, offer_id, "answer");
        self.call(|s, now, rng, out| s.tracker_text(now, rng, TrackerId(0), &text, &admits, out));
    }

    fn described(&self, name: &str, offer_id: &str, kind: &str) -> String {
        let text = json!({
            "action": "announce", "info_hash": self.swarm.0.to_latin1(), "peer_id": peer(name).to_latin1(),
            kind: { "type": kind, "sdp": format!("v=0 from {name}") }, "offer_id": offer_id,
        });
        text.to_string()
    }

    /// A peer's candidates arrive.
    pub fn candidates_from(&mut self, tracker: u32, name: &str, offer_id: &str, candidates: &[&str]) {
        let text = json!({
            "action": "announce", "info_hash": self.swarm.0.to_latin1(), "peer_id": peer(name).to_latin1(),
            "candidates": candidates, "offer_id": offer_id,
        });
        self.text(tracker, &text.to_string());
    }

    pub fn up(&mut self, link: LinkId) -> Option<PeerId> {
        self.call(|s, now, _, _| s.link_up(now, link))
    }

    pub fn fail(&mut self, link: LinkId) {
        let cause = LinkCloseCause::Failed("ice".to_owned());
        self.call(|s, now, rng, out| s.link_failed(now, rng, link, cause, out));
    }

    /// Drops the log so far.
    pub fn clear(&mut self) {
        self.log.clear();
        self.ticks = 0;
        self.seen_created = 0;
    }

    /// What was sent to a tracker: when, and the message.
    pub fn sent(&self, tracker: u32) -> Vec<(Time, Value)> {
        let texts = self.log.iter().filter_map(|(at, output)| match output {
            Output::SendTracker { tracker: to, text } if to.0 == tracker => {
                Some((*at, serde_json::from_str(text).unwrap()))
            }
            _ => None,
        });
        texts.collect()
    }

    /// The announces among them.
    pub fn announces(&self, tracker: u32) -> Vec<(Time, Value)> {
        self.sent(tracker).into_iter().filter(|(_, message)| message["offers"].is_array()).collect()
    }

    /// The ids of all offers sent to a tracker.
    pub fn offer_ids(&self, tracker: u32) -> Vec<String> {
        self.offers_sent(tracker).into_iter().map(|(id, _)| id).collect()
    }

    /// The id and the link of all offers sent to a tracker, in order.
    pub fn offers_sent(&self, tracker: u32) -> Vec<(String, LinkId)> {
        let announces = self.announces(tracker);
        let offers = announces.iter().flat_map(|(_, message)| message["offers"].as_array().unwrap().iter());
        offers
            .map(|offer| {
                let link =
                    offer["offer"]["sdp"].as_str().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
                (offer["offer_id"].as_str().unwrap().to_owned(), LinkId(link))
            })
            .collect()
    }

    pub fn count(&self, pick: impl Fn(&Output) -> bool) -> usize {
        self.log.iter().filter(|(_, output)| pick(output)).count()
    }

    pub fn created(&self) -> usize {
        self.count(|output| matches!(output, Output::CreateOffer { .. }))
    }

    pub fn closed(&self) -> Vec<LinkId> {
        self.links(|output| match output {
            Output::CloseLink { link } => Some(*link),
            _ => None,
        })
    }

    pub fn accepted(&self) -> Vec<LinkId> {
        self.links(|output| match output {
            Output::AcceptOffer { link, .. } => Some(*link),
            _ => None,
        })
    }

    pub fn connecting(&self) -> Vec<LinkId> {
        self.links(|output| match output {
            Output::AcceptAnswer { link, .. } => Some(*link),
            _ => None,
        })
    }

    pub fn created_links(&mut self) -> Vec<LinkId> {
        let all = self.links(|output| match output {
            Output::CreateOffer { link } => Some(*link),
            _ => None,
        });
        let fresh = all.get(self.seen_created..).unwrap_or_default().to_vec();
        self.seen_created = all.len();
        fresh
    }

    fn links(&self, pick: impl Fn(&Output) -> Option<LinkId>) -> Vec<LinkId> {
        self.log.iter().filter_map(|(_, output)| pick(output)).collect()
    }

    pub fn opens(&self, tracker: u32) -> Vec<Time> {
        let opens = self
            .log
            .iter()
            .filter(|(_, output)| matches!(output, Output::OpenTracker { tracker: t, .. } if t.0 == tracker));
        opens.map(|(at, _)| *at).collect()
    }

    pub fn events(&self) -> Vec<Event> {
        let events = self.log.iter().filter_map(|(_, output)| match output {
            Output::Event(event) => Some(event.clone()),
            _ => None,
        });
        events.collect()
    }
}
