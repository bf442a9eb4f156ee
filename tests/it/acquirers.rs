//! Acquirers, held against programs that are not ours: ISO 8583 against an independent implementation of the standard.

use gateway::connector::iso8583::codec::Message;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use tests::{said, workspace};

/// The other program says the same: our bytes are its message, and its bytes are ours, over the whole table of elements.
#[test]
fn another_implementation_of_iso_8583_reads_and_writes_the_same() {
    let mut dice = StdRng::seed_from_u64(8583);
    let mut ours: Vec<BTreeMap<String, String>> = (2..=128u8)
        .filter(|number| *number != 65)
        .map(|number| {
            BTreeMap::from([
                ("t".into(), "0100".into()),
                (number.to_string(), value(number, &mut dice)),
            ])
        })
        .collect();
    for _ in 0..100 {
        let mut message = BTreeMap::from([("t".to_owned(), format!("0{:03}", dice.random_range(0..1000)))]);
        for _ in 0..dice.random_range(0..30) {
            let number = dice.random_range(2..=128u8);
            if number != 65 {
                message.insert(number.to_string(), value(number, &mut dice));
            }
        }
        ours.push(message);
    }
    let asked: Vec<Value> = ours
        .iter()
        .map(|fields| {
            let bytes = message(fields)
                .encode()
                .unwrap_or_else(|error| panic!("{fields:?}: {error}"));
            json!({ "fields": fields, "wire": hex::encode(&bytes[..]) })
        })
        .collect();
    let theirs = other_program(&Value::from(asked));
    assert_eq!(theirs.len(), ours.len());
    for (theirs, ours) in theirs.iter().zip(&ours) {
        assert_eq!(theirs["read"], json!(ours), "it reads our bytes otherwise");
        let bytes = hex::decode(theirs["wire"].as_str().expect("bytes")).expect("hexadecimal");
        assert_eq!(
            Message::decode(&bytes).as_ref(),
            Ok(&message(ours)),
            "we read its bytes otherwise"
        );
    }
}

fn message(fields: &BTreeMap<String, String>) -> Message {
    let numbered = fields
        .iter()
        .filter_map(|(number, value)| Some((number.parse::<u8>().ok()?, value)));
    numbered.fold(Message::new(&fields["t"]), |message, (number, value)| {
        message.with(number, value)
    })
}

/// A value of full length, or of any length where it varies.
fn value(number: u8, dice: &mut StdRng) -> String {
    let (kind, min, max) = match number {
        2 => ('n', 0, 19),
        32 | 33 | 99 | 100 => ('n', 0, 11),
        34 | 102 | 103 => ('t', 0, 28),
        35 => ('t', 0, 37),
        36 => ('t', 0, 104),
        44 => ('t', 0, 25),
        45 => ('t', 0, 76),
        54 => ('t', 0, 120),
        101 => ('t', 0, 17),
        104 => ('t', 0, 100),
        55 => ('b', 510, 510),
        46..=48 | 56..=63 | 105..=127 => ('t', 0, 500),
        3 | 11 | 12 | 73 => ('n', 6, 6),
        4..=6 | 82..=85 => ('n', 12, 12),
        7 | 74..=81 => ('n', 10, 10),
        8..=10 => ('n', 8, 8),
        13..=18 | 71 | 72 => ('n', 4, 4),
        19..=24 | 68..=70 => ('n', 3, 3),
        25 | 26 | 67 => ('n', 2, 2),
        27 | 66 => ('n', 1, 1),
        28..=31 => ('x', 8, 8),
        97 => ('x', 16, 16),
        37 => ('t', 12, 12),
        38 => ('t', 6, 6),
        39 | 92 => ('t', 2, 2),
        40 | 49..=51 => ('t', 3, 3),
        41 => ('t', 8, 8),
        42 => ('t', 15, 15),
        43 => ('t', 40, 40),
        52 | 64 | 96 | 128 => ('b', 16, 16),
        53 | 86..=89 => ('n', 16, 16),
        90 => ('n', 42, 42),
        91 => ('t', 1, 1),
        93 => ('t', 5, 5),
        94 => ('t', 7, 7),
        95 => ('t', 42, 42),
        98 => ('t', 25, 25),
        other => panic!("DE {other}"),
    };
    let alphabet: &[u8] = match kind {
        't' => b"ABCxyz019 .,-/+",
        'b' => b"0123456789ABCDEF",
        _ => b"0123456789",
    };
    let length = dice.random_range(min..=max);
    let text: String = (0..length)
        .map(|_| alphabet[dice.random_range(0..alphabet.len())] as char)
        .collect();
    if kind == 'x' { format!("C{text}") } else { text }
}

fn other_program(asked: &Value) -> Vec<Value> {
    let mut child = Command::new(workspace().join(".tools/python/bin/python"))
        .arg(workspace().join("tests/sdk/python/iso8583_check.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("scripts/bootstrap.sh test installs it");
    serde_json::to_writer(child.stdin.take().expect("a pipe"), asked).expect("it listens");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}
