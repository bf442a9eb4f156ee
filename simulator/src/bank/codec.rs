//! The host's own reading of ISO 8583:1987: ASCII fields, binary bitmaps, and no more of the table than it needs.

use std::collections::BTreeMap;

/// A message: its type, and its elements as text.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    pub mti: String,
    values: BTreeMap<u8, String>,
}

impl Fields {
    pub fn of(mti: &str, values: Vec<(u8, String)>) -> Self {
        Self {
            mti: mti.to_owned(),
            values: values.into_iter().collect(),
        }
    }

    pub fn list(&self) -> Vec<(u8, String)> {
        self.values
            .iter()
            .map(|(number, value)| (*number, value.clone()))
            .collect()
    }

    /// An element, or the empty text.
    pub fn get(&self, number: u8) -> &str {
        self.values.get(&number).map_or("", String::as_str)
    }

    pub fn set(&mut self, number: u8, value: &str) {
        self.values.insert(number, value.to_owned());
    }

    /// An answer of this type that repeats these elements.
    pub fn answer(&self, mti: &str, repeated: &[u8]) -> Self {
        let values = self.values.iter().filter(|(number, _)| repeated.contains(number));
        Self {
            mti: mti.to_owned(),
            values: values.map(|(number, value)| (*number, value.clone())).collect(),
        }
    }

    /// 0100 → 0110, 0220 and 0221 → 0230, 0420 and 0421 → 0430.
    pub fn answer_mti(&self) -> String {
        match self.mti.as_str() {
            "0100" => "0110",
            "0220" | "0221" => "0230",
            _ => "0430",
        }
        .to_owned()
    }

    /// Reads a message whole.
    pub fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| "not ASCII");
        let mti = text(bytes.get(..4).ok_or("no type")?)?;
        let mut bits = bytes.get(4..12).ok_or("no bitmap")?.to_vec();
        let mut at = 12;
        if bits[0] & 0x80 != 0 {
            bits.extend_from_slice(bytes.get(12..20).ok_or("no second bitmap")?);
            at = 20;
        }
        let mut values = BTreeMap::new();
        for number in 2..=(bits.len() * 8) as u8 {
            let bit = usize::from(number - 1);
            if bits[bit / 8] >> (7 - bit % 8) & 1 == 0 {
                continue;
            }
            let length = match shape(number).ok_or("an element that this host does not know")? {
                Shape::Of(length) => length,
                Shape::Up(digits) => {
                    let length = text(bytes.get(at..at + digits).ok_or("cut")?)?;
                    at += digits;
                    length.parse::<u16>().map_err(|_| "no length")?.into()
                }
            };
            values.insert(number, text(bytes.get(at..at + length).ok_or("cut")?)?);
            at += length;
        }
        if at != bytes.len() {
            return Err("bytes too many");
        }
        Ok(Self { mti, values })
    }

    /// The bytes with their length in front.
    pub fn frame(&self) -> Vec<u8> {
        let last = self.values.keys().last().copied().unwrap_or(2);
        let mut bits = vec![0u8; if last > 64 { 16 } else { 8 }];
        if last > 64 {
            bits[0] |= 0x80;
        }
        let mut body = String::new();
        for (number, value) in &self.values {
            let bit = usize::from(number - 1);
            bits[bit / 8] |= 1 << (7 - bit % 8);
            if let Some(Shape::Up(digits)) = shape(*number) {
                body.push_str(&format!("{:0digits$}", value.len()));
            }
            body.push_str(value);
        }
        let length = (4 + bits.len() + body.len()) as u16;
        [&length.to_be_bytes()[..], self.mti.as_bytes(), &bits, body.as_bytes()].concat()
    }
}

/// The value under a tag of DE 48.
pub fn private_part<'a>(mut data: &'a str, tag: &str) -> &'a str {
    while let (Some(found), Some(length)) = (
        data.get(..2),
        data.get(2..4).and_then(|text| text.parse::<usize>().ok()),
    ) {
        let value = data.get(4..4 + length).unwrap_or_default();
        if found == tag {
            return value;
        }
        data = data.get(4 + length..).unwrap_or_default();
    }
    ""
}

enum Shape {
    /// this long
    Of(usize),
    /// so many digits of length in front
    Up(usize),
}

fn shape(number: u8) -> Option<Shape> {
    Some(match number {
        2 | 32 | 33 => Shape::Up(2),
        48 => Shape::Up(3),
        3 | 11 | 12 | 38 => Shape::Of(6),
        4 | 37 => Shape::Of(12),
        7 => Shape::Of(10),
        13 | 14 | 18 => Shape::Of(4),
        22 | 49 | 70 => Shape::Of(3),
        25 | 39 => Shape::Of(2),
        41 => Shape::Of(8),
        42 => Shape::Of(15),
        43 => Shape::Of(40),
        90 | 95 => Shape::Of(42),
        _ => return None,
    })
}
