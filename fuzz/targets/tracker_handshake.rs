//! What a connection to the tracker begins with: a PROXY header or an HTTP request is found at the same place however
//! much has come after it, and never before it is whole.
#![no_main]

use hlswarm_tracker::http::{self, Head};
use hlswarm_tracker::proxy::{self, ProxyHeader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Head::Complete(request, used) = http::parse(bytes) {
        assert!(used <= bytes.len());
        assert!(!request.upgrade || request.method == "GET");
        assert!(!request.path.contains('?'));
        assert_eq!(http::parse(&bytes[..used]), Head::Complete(request, used));
        for end in 0..used {
            assert!(!matches!(http::parse(&bytes[..end]), Head::Complete(..)), "whole before its end");
        }
    }
    match proxy::parse(bytes) {
        whole @ ProxyHeader::Complete { bytes: used, .. } => {
            assert_eq!(proxy::parse(&bytes[..used]), whole);
            for end in 0..used {
                assert_eq!(proxy::parse(&bytes[..end]), ProxyHeader::Incomplete);
            }
        }
        ProxyHeader::Incomplete => assert!(bytes.len() < 1024, "the longest header is bounded"),
        ProxyHeader::Malformed => {}
    }
});
