//! Messages of clients, parsed by reference into a closed enum.

use hlswarm::id::{Id20, PeerId, SwarmId};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::refusal::{Action, Fault, Refusal, shorten};
use super::token::Token;

/// A message of a client.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming<'a> {
    /// A client is here, changes or leaves.
    Announce(Announce<'a>),
    /// A client answers an offer.
    Answer(Answer<'a>),
    /// A client found more candidates for an answered offer.
    Candidates(Candidates<'a>),
    /// A client says that a peer sent it bad data.
    Report(Report<'a>),
    /// A client asks for the sizes of swarms.
    Scrape(Scrape<'a>),
}

/// What an announce says of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is here: `started`, `update`, `paused`, `empty`, an empty string or nothing.
    Present,
    /// It has everything now.
    Completed,
    /// It leaves.
    Stopped,
}

/// The parts that every message about one member has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// The swarm.
    pub swarm: SwarmId,
    /// The swarm as the client wrote it.
    pub info_hash: Token<'a>,
    /// The client.
    pub peer: PeerId,
    /// The client as it wrote itself.
    pub peer_id: Token<'a>,
}

/// A client is here, changes or leaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Announce<'a> {
    /// Which client in which swarm.
    pub member: Member<'a>,
    /// What happened.
    pub event: Event,
    /// Whether the client has everything; `None` if it did not say.
    pub seeder: Option<bool>,
    /// Whether the client takes trickled candidates.
    pub trickle: bool,
    /// The access token, if it has one.
    pub token: Option<Token<'a>>,
    /// The offers, not yet held to any bound but the message's.
    pub offers: Vec<Offer<'a>>,
}

/// One offer of an announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer<'a> {
    /// The offering side's name for it.
    pub offer_id: Token<'a>,
    /// The session description.
    pub sdp: Token<'a>,
}

/// A client answers an offer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer<'a> {
    /// Which client in which swarm.
    pub member: Member<'a>,
    /// Whose offer it was.
    pub to: PeerId,
    /// The offer and the answer's session description.
    pub offer: Offer<'a>,
}

/// A client found more candidates for an answered offer.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidates<'a> {
    /// Which client in which swarm.
    pub member: Member<'a>,
    /// The other end.
    pub to: PeerId,
    /// The offer.
    pub offer_id: Token<'a>,
    /// The candidates as they came.
    pub candidates: Vec<Token<'a>>,
}

/// A client says that a peer sent it bad data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report<'a> {
    /// Which client in which swarm.
    pub member: Member<'a>,
    /// The peer.
    pub to: PeerId,
}

/// A client asks for the sizes of swarms.
#[derive(Clone, Debug, PartialEq)]
pub struct Scrape<'a> {
    /// The swarms, with the text that the client named them by.
    pub swarms: Vec<(SwarmId, Token<'a>)>,
}

/// The fields of a message whose offers or answer have the right shape: read in one pass.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    action: Option<&'a RawValue>,
    info_hash: Option<&'a RawValue>,
    peer_id: Option<&'a RawValue>,
    event: Option<&'a RawValue>,
    left: Option<&'a RawValue>,
    trickle: Option<&'a RawValue>,
    token: Option<&'a RawValue>,
    offers: Option<Vec<OfferFields<'a>>>,
    answer: Option<DescriptionFields<'a>>,
    to_peer_id: Option<&'a RawValue>,
    offer_id: Option<&'a RawValue>,
    candidates: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct OfferFields<'a> {
    #[serde(borrow)]
    offer: DescriptionFields<'a>,
    offer_id: &'a RawValue,
}

#[derive(Deserialize)]
struct DescriptionFields<'a> {
    #[serde(borrow, rename = "type")]
    kind: &'a RawValue,
    sdp: &'a RawValue,
}

/// The same fields of any JSON object, to find out what is wrong with one that did not fit.
#[derive(Deserialize)]
struct LooseFields<'a> {
    #[serde(borrow)]
    action: Option<&'a RawValue>,
    info_hash: Option<&'a RawValue>,
    offers: Option<&'a RawValue>,
    answer: Option<&'a RawValue>,
    candidates: Option<&'a RawValue>,
}

const ID: &str = "a string of 20 characters U+0000..U+00FF";
const OFFERS: &str = "an array of {\"offer\": {\"type\": \"offer\", \"sdp\": string}, \"offer_id\": string of at most \
                      64 characters}";
const ANSWER: &str = "{\"type\": \"answer\", \"sdp\": string}";
const CANDIDATES: &str = "an array of strings";
const OFFER_ID: &str = "a string of at most 64 characters";
const EVENTS: &str = "started, stopped, completed, update, paused, empty, \"\" or none";

/// Parses a message of a client.
pub fn parse(message: &str) -> Result<Incoming<'_>, Fault<'_>> {
    // A struct would also be read from an array of its fields in order.
    if !message.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        return Err(Fault { action: Action::Announce, info_hash: None, refusal: Refusal::NotAnObject });
    }
    let fields: Fields<'_> = serde_json::from_str(message).map_err(|_| explain(message))?;
    let info_hash =
        fields.info_hash.and_then(|raw| Token::new(raw.get())).filter(|token| token.id20().is_some());
    match fields.action.map(RawValue::get) {
        Some("\"announce\"") => {
            parse_member(&fields).map_err(|refusal| Fault { action: Action::Announce, info_hash, refusal })
        }
        Some("\"report\"") => {
            parse_report(&fields).map_err(|refusal| Fault { action: Action::Report, info_hash, refusal })
        }
        Some("\"scrape\"") => {
            parse_scrape(&fields).map_err(|refusal| Fault { action: Action::Scrape, info_hash, refusal })
        }
        _ => Err(Fault {
            action: Action::Announce,
            info_hash,
            refusal: field("action", fields.action, "\"announce\", \"scrape\" or \"report\""),
        }),
    }
}

fn explain(message: &str) -> Fault<'_> {
    let Ok(fields) = serde_json::from_str::<LooseFields<'_>>(message) else {
        return Fault { action: Action::Announce, info_hash: None, refusal: Refusal::NotAnObject };
    };
    let scrape = fields.action.is_some_and(|action| action.get() == "\"scrape\"");
    let refusal = match (fields.answer, fields.candidates) {
        (Some(answer), _) if serde_json::from_str::<DescriptionFields<'_>>(answer.get()).is_err() => {
            field("answer", fields.answer, ANSWER)
        }
        (_, Some(list)) if serde_json::from_str::<Vec<&RawValue>>(list.get()).is_err() => {
            field("candidates", fields.candidates, CANDIDATES)
        }
        _ => field("offers", fields.offers, OFFERS),
    };
    Fault {
        action: if scrape { Action::Scrape } else { Action::Announce },
        info_hash: fields
            .info_hash
            .and_then(|raw| Token::new(raw.get()))
            .filter(|token| token.id20().is_some()),
        refusal,
    }
}

fn parse_member<'a>(fields: &Fields<'a>) -> Result<Incoming<'a>, Refusal> {
    let (swarm, info_hash) = id("info_hash", fields.info_hash)?;
    let (peer, peer_id) = id("peer_id", fields.peer_id)?;
    let member = Member { swarm: SwarmId(swarm), info_hash, peer, peer_id };
    if let Some(answer) = &fields.answer {
        let (to, _) = id("to_peer_id", fields.to_peer_id)?;
        let sdp =
            description(answer, "\"answer\"").ok_or_else(|| field("answer", Some(answer.sdp), ANSWER))?;
        let offer = Offer { offer_id: offer_id(fields.offer_id)?, sdp };
        return Ok(Incoming::Answer(Answer { member, to, offer }));
    }
    if let Some(list) = &fields.candidates {
        let (to, _) = id("to_peer_id", fields.to_peer_id)?;
        let mut candidates = Vec::with_capacity(list.len());
        for raw in list {
            candidates
                .push(Token::new(raw.get()).ok_or_else(|| field("candidates", Some(*raw), CANDIDATES))?);
        }
        let offer_id = offer_id(fields.offer_id)?;
        return Ok(Incoming::Candidates(Candidates { member, to, offer_id, candidates }));
    }
    let event = match fields.event.map(RawValue::get) {
        None | Some("\"\"" | "\"started\"" | "\"update\"" | "\"paused\"" | "\"empty\"") => Event::Present,
        Some("\"completed\"") => Event::Completed,
        Some("\"stopped\"") => Event::Stopped,
        Some(_) => return Err(field("event", fields.event, EVENTS)),
    };
    let offers = match &fields.offers {
        Some(list) => list.iter().map(parse_offer).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    Ok(Incoming::Announce(Announce {
        member,
        event,
        seeder: fields.left.and_then(|left| left.get().parse::<f64>().ok()).map(|left| left == 0.0),
        trickle: fields.trickle.is_some_and(|trickle| trickle.get() == "true"),
        token: fields.token.and_then(|token| Token::new(token.get())),
        offers,
    }))
}

fn parse_offer<'a>(fields: &OfferFields<'a>) -> Result<Offer<'a>, Refusal> {
    let sdp = description(&fields.offer, "\"offer\"")
        .ok_or_else(|| field("offers", Some(fields.offer.sdp), OFFERS))?;
    Ok(Offer { offer_id: offer_id(Some(fields.offer_id))?, sdp })
}

fn description<'a>(fields: &DescriptionFields<'a>, kind: &str) -> Option<Token<'a>> {
    (fields.kind.get() == kind).then(|| Token::new(fields.sdp.get())).flatten()
}

fn parse_report<'a>(fields: &Fields<'a>) -> Result<Incoming<'a>, Refusal> {
    let (swarm, info_hash) = id("info_hash", fields.info_hash)?;
    let (peer, peer_id) = id("peer_id", fields.peer_id)?;
    let (to, _) = id("to_peer_id", fields.to_peer_id)?;
    Ok(Incoming::Report(Report { member: Member { swarm: SwarmId(swarm), info_hash, peer, peer_id }, to }))
}

fn parse_scrape<'a>(fields: &Fields<'a>) -> Result<Incoming<'a>, Refusal> {
    const SWARMS: &str = "a string of 20 characters U+0000..U+00FF or an array of them";
    let Some(raw) = fields.info_hash else { return Err(Refusal::FullScrape) };
    let one = |raw: &'a RawValue| {
        let token = Token::new(raw.get())?;
        token.id20().map(|swarm| (SwarmId(swarm), token))
    };
    let list = match raw.get().starts_with('[') {
        true => serde_json::from_str::<Vec<&RawValue>>(raw.get())
            .map_err(|_| field("info_hash", Some(raw), SWARMS))?,
        false => vec![raw],
    };
    if list.is_empty() {
        return Err(Refusal::FullScrape);
    }
    let mut swarms = Vec::with_capacity(list.len());
    for item in list {
        swarms.push(one(item).ok_or_else(|| field("info_hash", Some(item), SWARMS))?);
    }
    Ok(Incoming::Scrape(Scrape { swarms }))
}

fn id<'a>(name: &'static str, raw: Option<&'a RawValue>) -> Result<(Id20, Token<'a>), Refusal> {
    let token = raw.and_then(|raw| Token::new(raw.get()));
    token.and_then(|token| Some((token.id20()?, token))).ok_or_else(|| field(name, raw, ID))
}

fn offer_id(raw: Option<&RawValue>) -> Result<Token<'_>, Refusal> {
    raw.and_then(|raw| Token::new(raw.get()))
        .filter(|token| token.is_offer_id())
        .ok_or_else(|| field("offer_id", raw, OFFER_ID))
}

fn field(name: &'static str, value: Option<&RawValue>, allowed: &'static str) -> Refusal {
    Refusal::Field { name, value: value.map(|raw| shorten(raw.get())), allowed }
}
