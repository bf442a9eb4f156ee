//! ISO 8583:1987 on the wire: ASCII fields, binary bitmaps, and a two-byte length in front of each message.
//!
//! [`Message`] is what is said; [`Message::encode`] and [`Message::decode`] are exact inverses, checked as a property, by a
//! fuzz target, and against another implementation. Every length and character class of the standard's table is enforced
//! both ways. A message wipes its values when dropped, and must never show a card number, a track, a PIN or an EMV block:
//! `Debug` masks them.

use std::collections::BTreeMap;
use std::fmt;
use zeroize::Zeroizing;

/// The longest message that is read or written, without its length.
pub const MAX: usize = 8192;

/// Message type and data elements by number. Binary elements are upper-case hexadecimal.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    mti: [u8; 4],
    fields: BTreeMap<u8, Zeroizing<String>>,
}

/// Why bytes are no message, or a message has no bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// no message type of version 1987
    #[error("the message type is not four digits that begin with 0")]
    Type,
    /// longer than [`MAX`]
    #[error("a message of {0} bytes")]
    TooLong(usize),
    /// it ends inside this element
    #[error("the message ends inside DE {0}")]
    Short(u8),
    /// bytes after the last element
    #[error("{0} bytes too many")]
    Rest(usize),
    /// not of the class or length that the table says
    #[error("DE {0} is not of the kind that the standard says")]
    Element(u8),
}

impl Message {
    /// A message of this type without elements. A type that is none is refused when it is encoded.
    pub fn new(mti: &str) -> Self {
        let mut bytes = [b'?'; 4];
        if mti.len() == 4 {
            bytes.copy_from_slice(mti.as_bytes());
        }
        Self {
            mti: bytes,
            fields: BTreeMap::new(),
        }
    }

    /// The message type, e.g. `0110`.
    pub fn mti(&self) -> &str {
        std::str::from_utf8(&self.mti).unwrap_or("????")
    }

    /// The same message as another type: the repeat of an advice.
    #[must_use]
    pub fn typed(mut self, mti: &str) -> Self {
        self.mti = Self::new(mti).mti;
        self
    }

    /// With this element.
    #[must_use]
    pub fn with(mut self, number: u8, value: impl Into<String>) -> Self {
        self.fields.insert(number, Zeroizing::new(value.into()));
        self
    }

    /// An element.
    pub fn get(&self, number: u8) -> Option<&str> {
        self.fields.get(&number).map(|value| value.as_str())
    }

    /// The numbers of its elements, ascending.
    pub fn numbers(&self) -> impl Iterator<Item = u8> {
        self.fields.keys().copied()
    }

    /// The bytes on the wire, without the length in front.
    ///
    /// # Errors
    /// When the type or an element is not of the kind that the standard says.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, CodecError> {
        if self.mti[0] != b'0' || !self.mti.iter().all(u8::is_ascii_digit) {
            return Err(CodecError::Type);
        }
        let mut bitmap = [0u8; 16];
        for number in self.fields.keys() {
            if *number < 2 || *number > 128 || *number == THIRD_BITMAP {
                return Err(CodecError::Element(*number));
            }
            set(&mut bitmap, *number);
        }
        let extended = self.fields.keys().any(|number| *number > 64);
        if extended {
            set(&mut bitmap, 1);
        }
        // As much as it can be, so that no card number is left behind by a growing buffer.
        let mut out = Zeroizing::new(Vec::with_capacity(MAX));
        out.extend_from_slice(&self.mti);
        out.extend_from_slice(&bitmap[..if extended { 16 } else { 8 }]);
        for (number, value) in &self.fields {
            element(*number)
                .write(value, &mut out)
                .ok_or(CodecError::Element(*number))?;
            if out.len() > MAX {
                return Err(CodecError::TooLong(out.len()));
            }
        }
        Ok(out)
    }

    /// The message that these bytes are, all of them.
    ///
    /// # Errors
    /// When they are none, or anything is left over.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        if bytes.len() > MAX {
            return Err(CodecError::TooLong(bytes.len()));
        }
        let (mti, rest) = bytes.split_first_chunk::<4>().ok_or(CodecError::Type)?;
        if mti[0] != b'0' || !mti.iter().all(u8::is_ascii_digit) {
            return Err(CodecError::Type);
        }
        let (first, mut rest) = rest.split_first_chunk::<8>().ok_or(CodecError::Short(1))?;
        let mut bitmap = [0u8; 16];
        bitmap[..8].copy_from_slice(first);
        let extended = is_set(&bitmap, 1);
        if extended {
            let (second, after) = rest.split_first_chunk::<8>().ok_or(CodecError::Short(1))?;
            bitmap[8..].copy_from_slice(second);
            if bitmap[8..] == [0; 8] {
                // A second bitmap without elements would be encoded without it: one message, one form.
                return Err(CodecError::Element(1));
            }
            rest = after;
        }
        let mut fields = BTreeMap::new();
        for number in 2..=128u8 {
            if is_set(&bitmap, number) {
                if number == THIRD_BITMAP {
                    return Err(CodecError::Element(number));
                }
                fields.insert(number, element(number).read(number, &mut rest)?);
            }
        }
        match rest.len() {
            0 => Ok(Self { mti: *mti, fields }),
            left => Err(CodecError::Rest(left)),
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.mti())?;
        for (number, value) in &self.fields {
            match (number, value.len()) {
                (2, 13..) => write!(f, " 2={}..{}", &value[..6], &value[value.len() - 4..])?,
                _ if SECRET.contains(number) => write!(f, " {number}=*")?,
                _ => write!(f, " {number}={:?}", value.as_str())?,
            }
        }
        Ok(())
    }
}

/// Card number, expiry, tracks, private data with the card's code, PIN and its control, EMV, and their kin.
const SECRET: &[u8] = &[2, 14, 34, 35, 36, 45, 48, 52, 53, 55, 102, 103];

/// DE 65 would announce elements above 128, which this version does not define.
const THIRD_BITMAP: u8 = 65;

/// Characters that an element may have.
#[derive(Clone, Copy)]
enum Class {
    /// digits
    N,
    /// printable ASCII; the standard's an, as, ans and z, which real networks do not keep apart
    Text,
    /// C or D for credit and debit, then digits
    Signed,
    /// bits, as hexadecimal here
    Bits,
}

/// Fixed length, or up to so many with two or three digits of length in front. Lengths of bits are bytes.
#[derive(Clone, Copy)]
enum Element {
    Fixed(Class, usize),
    Ll(Class, usize),
    Lll(Class, usize),
}

/// The standard's table.
fn element(number: u8) -> Element {
    use Class::{Bits, N, Signed, Text};
    use Element::{Fixed, Ll, Lll};
    match number {
        2 => Ll(N, 19),
        3 | 11 | 12 | 73 => Fixed(N, 6),
        4..=6 | 82..=85 => Fixed(N, 12),
        7 | 74..=81 => Fixed(N, 10),
        8..=10 => Fixed(N, 8),
        13..=18 | 71 | 72 => Fixed(N, 4),
        19..=24 | 68..=70 => Fixed(N, 3),
        25 | 26 | 67 => Fixed(N, 2),
        27 | 66 => Fixed(N, 1),
        28..=31 => Fixed(Signed, 9),
        32 | 33 | 99 | 100 => Ll(N, 11),
        34 | 102 | 103 => Ll(Text, 28),
        35 => Ll(Text, 37),
        36 => Lll(Text, 104),
        37 => Fixed(Text, 12),
        38 => Fixed(Text, 6),
        39 | 92 => Fixed(Text, 2),
        40 | 49..=51 => Fixed(Text, 3),
        41 => Fixed(Text, 8),
        42 => Fixed(Text, 15),
        43 => Fixed(Text, 40),
        44 => Ll(Text, 25),
        45 => Ll(Text, 76),
        52 | 64 | 96 | 128 => Fixed(Bits, 8),
        53 | 86..=89 => Fixed(N, 16),
        55 => Lll(Bits, 255),
        54 => Lll(Text, 120),
        90 => Fixed(N, 42),
        91 => Fixed(Text, 1),
        93 => Fixed(Text, 5),
        94 => Fixed(Text, 7),
        95 => Fixed(Text, 42),
        97 => Fixed(Signed, 17),
        98 => Fixed(Text, 25),
        101 => Ll(Text, 17),
        104 => Lll(Text, 100),
        _ => Lll(Text, 999),
    }
}

impl Class {
    fn allows(self, value: &[u8]) -> bool {
        match self {
            Class::N => value.iter().all(u8::is_ascii_digit),
            Class::Text => value.iter().all(|b| (b' '..=b'~').contains(b)),
            Class::Signed => {
                matches!(value.split_first(), Some((b'C' | b'D', digits)) if digits.iter().all(u8::is_ascii_digit))
            }
            Class::Bits => true,
        }
    }
}

impl Element {
    /// Appends the value, or `None` when it is not of this kind.
    fn write(self, value: &str, out: &mut Vec<u8>) -> Option<()> {
        let bits = |value: &str| {
            let upper = !value.bytes().any(|b| b.is_ascii_lowercase());
            hex::decode(value).ok().filter(|_| upper)
        };
        let (Element::Fixed(class, _) | Element::Ll(class, _) | Element::Lll(class, _)) = self;
        let bytes = Zeroizing::new(match class {
            Class::Bits => bits(value)?,
            _ => value.as_bytes().to_vec(),
        });
        if !class.allows(&bytes) {
            return None;
        }
        match self {
            Element::Fixed(_, length) if bytes.len() == length => {}
            Element::Ll(_, max) if bytes.len() <= max => {
                out.extend_from_slice(format!("{:02}", bytes.len()).as_bytes())
            }
            Element::Lll(_, max) if bytes.len() <= max => {
                out.extend_from_slice(format!("{:03}", bytes.len()).as_bytes());
            }
            _ => return None,
        }
        out.extend_from_slice(&bytes);
        Some(())
    }

    /// Takes the value off the front.
    fn read(self, number: u8, rest: &mut &[u8]) -> Result<Zeroizing<String>, CodecError> {
        let wrong = CodecError::Element(number);
        let (class, length) = match self {
            Element::Fixed(class, length) => (class, length),
            Element::Ll(class, max) | Element::Lll(class, max) => {
                let digits = if matches!(self, Element::Ll(..)) { 2 } else { 3 };
                let length = take(rest, digits, number)?;
                let length = std::str::from_utf8(length)
                    .ok()
                    .filter(|text| text.bytes().all(|b| b.is_ascii_digit()))
                    .and_then(|text| text.parse::<usize>().ok())
                    .filter(|length| *length <= max);
                (class, length.ok_or_else(|| wrong.clone())?)
            }
        };
        let value = take(rest, length, number)?;
        if !class.allows(value) {
            return Err(wrong);
        }
        Ok(Zeroizing::new(match class {
            Class::Bits => hex::encode_upper(value),
            _ => String::from_utf8(value.to_vec()).map_err(|_| wrong)?,
        }))
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize, number: u8) -> Result<&'a [u8], CodecError> {
    let (value, after) = rest.split_at_checked(length).ok_or(CodecError::Short(number))?;
    *rest = after;
    Ok(value)
}

fn set(bitmap: &mut [u8; 16], number: u8) {
    let bit = usize::from(number - 1);
    bitmap[bit / 8] |= 0x80 >> (bit % 8);
}

fn is_set(bitmap: &[u8; 16], number: u8) -> bool {
    let bit = usize::from(number - 1);
    bitmap[bit / 8] & (0x80 >> (bit % 8)) != 0
}

#[cfg(test)]
mod tests;
