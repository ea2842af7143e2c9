//! What a viewer of p2p-media-loader sends is a command or an error, parts are joined within their bound, and what was
//! decoded encodes to the same command.
#![no_main]

use hlswarm::interop::command::{Command, Joiner, MAX_JOINED_BYTES, is_framed};
use hlswarm::time::Time;
use libfuzzer_sys::fuzz_target;

/// The messages of a command, joined and decoded again.
fn again(command: &Command, max_message_bytes: usize) -> Command {
    let mut joiner = Joiner::default();
    let mut whole = None;
    for message in command.encode(max_message_bytes) {
        assert!(is_framed(&message));
        whole = joiner.push(Time::ZERO, &message).expect("no longer than what came");
    }
    Command::decode(&whole.expect("the last part ends it")).expect("ours")
}

fuzz_target!(|data: &[u8]| {
    if let Ok(command) = Command::decode(data) {
        let read = again(&command, 2048);
        match (command, read) {
            // Of very many groups the first are left out.
            (Command::Announcement { loaded, .. }, Command::Announcement { loaded: read, .. }) => {
                assert!(read.iter().all(|id| loaded.contains(id)));
            }
            (command, read) => assert_eq!(command, read),
        }
    }
    let mut joiner = Joiner::default();
    for message in data.split_inclusive(|byte| *byte == b'd').collect::<Vec<_>>().chunks(3) {
        let message = message.concat();
        if is_framed(&message)
            && let Ok(Some(payload)) = joiner.push(Time::ZERO, &message)
        {
            assert!(payload.len() <= MAX_JOINED_BYTES);
            let _ = Command::decode(&payload);
        }
    }
});
