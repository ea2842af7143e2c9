//! A writer of small databases in MaxMind's format, since none may be shipped.
//! <https://maxmind.github.io/MaxMind-DB/>

use std::net::Ipv4Addr;

/// A value of the data section.
pub enum Value {
    Text(&'static str),
    Short(u16),
    Number(u32),
    Long(u64),
    Map(Vec<(&'static str, Value)>),
    List(Vec<Value>),
}

fn control(kind: u8, size: usize) -> Vec<u8> {
    assert!(size < 29, "small values only");
    // Kinds above 7 stand in a byte of their own.
    if kind > 7 { vec![size as u8, kind - 7] } else { vec![kind << 5 | size as u8] }
}

fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Text(text) => {
            out.extend(control(2, text.len()));
            out.extend(text.bytes());
        }
        Value::Short(number) => {
            out.extend(control(5, 2));
            out.extend(number.to_be_bytes());
        }
        Value::Number(number) => {
            out.extend(control(6, 4));
            out.extend(number.to_be_bytes());
        }
        Value::Long(number) => {
            out.extend(control(9, 8));
            out.extend(number.to_be_bytes());
        }
        Value::Map(entries) => {
            out.extend(control(7, entries.len()));
            for (key, value) in entries {
                encode(&Value::Text(key), out);
                encode(value, out);
            }
        }
        Value::List(values) => {
            out.extend(control(11, values.len()));
            for value in values {
                encode(value, out);
            }
        }
    }
}

/// A database of IPv4 networks and what it tells of each.
pub fn database(networks: &[(Ipv4Addr, u8, Value)]) -> Vec<u8> {
    const EMPTY: u32 = u32::MAX;
    const DATA: u32 = 1 << 24;
    let mut nodes: Vec<[u32; 2]> = vec![[EMPTY; 2]];
    let mut data = Vec::new();
    for (address, bits, value) in networks {
        let mut at = 0;
        for bit in 0..*bits {
            let side = (u32::from(*address) >> (31 - bit) & 1) as usize;
            if bit + 1 == *bits {
                nodes[at][side] = DATA + data.len() as u32;
            } else {
                if nodes[at][side] == EMPTY {
                    nodes.push([EMPTY; 2]);
                    nodes[at][side] = nodes.len() as u32 - 1;
                }
                at = nodes[at][side] as usize;
            }
        }
        encode(value, &mut data);
    }
    let count = nodes.len() as u32;
    let mut file = Vec::new();
    for record in nodes.iter().flatten() {
        let value = match *record {
            EMPTY => count,
            data if data >= DATA => data - DATA + count + 16,
            node => node,
        };
        file.extend(&value.to_be_bytes()[1..]);
    }
    file.extend([0; 16]);
    file.extend(data);
    file.extend(b"\xab\xcd\xefMaxMind.com");
    let metadata = Value::Map(vec![
        ("binary_format_major_version", Value::Short(2)),
        ("binary_format_minor_version", Value::Short(0)),
        ("build_epoch", Value::Long(1)),
        ("database_type", Value::Text("Test")),
        ("description", Value::Map(vec![])),
        ("ip_version", Value::Short(4)),
        ("languages", Value::List(vec![])),
        ("node_count", Value::Number(count)),
        ("record_size", Value::Short(24)),
    ]);
    encode(&metadata, &mut file);
    file
}
