//! The codec as properties, and its refusals.

use super::*;
use proptest::prelude::*;

/// A value that this element may have.
fn value(number: u8) -> BoxedStrategy<String> {
    let of = |class: Class, min: usize, max: usize| match class {
        Class::N => proptest::string::string_regex(&format!("[0-9]{{{min},{max}}}"))
            .unwrap()
            .boxed(),
        Class::Text => proptest::string::string_regex(&format!("[ -~]{{{min},{max}}}"))
            .unwrap()
            .boxed(),
        Class::Signed => proptest::string::string_regex(&format!("[CD][0-9]{{{}}}", max - 1))
            .unwrap()
            .boxed(),
        Class::Bits => proptest::string::string_regex(&format!("[0-9A-F]{{{}}}", max * 2))
            .unwrap()
            .boxed(),
    };
    match element(number) {
        Element::Fixed(class, length) => of(class, length, length),
        Element::Ll(class, max) | Element::Lll(class, max) => of(class, 0, max.min(60)),
    }
}

fn message() -> impl Strategy<Value = Message> {
    let fields = proptest::collection::btree_set((2u8..=128).prop_filter("defined", |n| *n != THIRD_BITMAP), 0..20)
        .prop_flat_map(|numbers| {
            numbers
                .into_iter()
                .map(|number| (Just(number), value(number)))
                .collect::<Vec<_>>()
        });
    ("0[0-9]{3}", fields).prop_map(|(mti, fields)| {
        fields.into_iter().fold(Message::new(&mti), |message, (number, value)| {
            message.with(number, value)
        })
    })
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(message in message()) {
        let bytes = message.encode().unwrap();
        prop_assert_eq!(Message::decode(&bytes), Ok(message));
    }

    #[test]
    fn what_is_decoded_is_encoded_to_the_same_bytes(mut bytes in proptest::collection::vec(any::<u8>(), 12..80)) {
        bytes[..4].copy_from_slice(b"0100");
        if let Ok(message) = Message::decode(&bytes) {
            let again = message.encode().unwrap();
            prop_assert_eq!(&again[..], &bytes[..]);
        }
    }

    #[test]
    fn a_cut_message_is_refused(message in message(), at in 0usize..200) {
        let bytes = message.encode().unwrap();
        if at < bytes.len() {
            prop_assert!(Message::decode(&bytes[..at]).is_err());
        }
    }
}

#[test]
fn what_the_table_does_not_allow_is_refused_both_ways() {
    let wrong = [
        (2, "4242424242424242a"),
        (2, "42424242424242424242"),
        (4, "2000"),
        (37, "0000000000é"),
        (39, "0"),
        (52, "00"),
        (52, "abcdef0123456789"),
        (28, "X00000000"),
        (90, "0100"),
        (1, ""),
        (65, "00"),
        (129, ""),
    ];
    for (number, value) in wrong {
        let message = Message::new("0100").with(number, value);
        assert_eq!(
            message.encode().unwrap_err(),
            CodecError::Element(number),
            "{number} {value}"
        );
    }
    assert_eq!(Message::new("1100").encode().unwrap_err(), CodecError::Type);
    assert_eq!(Message::new("01").encode().unwrap_err(), CodecError::Type);
    let good = Message::new("0800").with(70, "001").encode().unwrap();
    let mut longer = good.to_vec();
    longer.push(b'0');
    assert_eq!(Message::decode(&longer), Err(CodecError::Rest(1)));
    let mut letter = good.to_vec();
    *letter.last_mut().unwrap() = b'x';
    assert_eq!(Message::decode(&letter), Err(CodecError::Element(70)));
    assert_eq!(
        Message::decode(b"0800\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        Err(CodecError::Element(1))
    );
}

/// A message with known bytes, worked out by hand: DE 3, 11, 41 and a second bitmap for DE 70.
#[test]
fn bytes_of_a_known_message() {
    let message = Message::new("0800")
        .with(3, "990000")
        .with(11, "000042")
        .with(41, "TERM0001")
        .with(70, "301");
    let bytes = message.encode().unwrap();
    let bitmap = b"\xA0\x20\x00\x00\x00\x80\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00";
    assert_eq!(
        &bytes[..],
        [&b"0800"[..], bitmap, b"990000", b"000042", b"TERM0001", b"301"].concat()
    );
}

#[test]
fn no_card_data_is_shown() {
    let shown = format!(
        "{:?}",
        Message::new("0100")
            .with(2, "4242424242424242")
            .with(14, "3012")
            .with(35, "4242=3012")
            .with(48, "9203123")
            .with(4, "000000002000")
    );
    assert_eq!(shown, r#"0100 2=424242..4242 4="000000002000" 14=* 35=* 48=*"#);
}
