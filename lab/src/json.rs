//! JSON of any size from anywhere, read in a stream: what nobody asks for is passed over, and takes no memory.

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::io::Read;

/// What of a JSON value is read. Whatever form it has, a reader that looks for another is told nothing.
pub trait Reader {
    /// It is this text.
    fn text(&mut self, _text: &str) {}

    /// It is this number.
    fn number(&mut self, _number: u64) {}

    /// It is a list, as yet of nothing.
    fn list(&mut self) {}

    /// Reads the next of a list. Returns whether there was one.
    fn item<'de, A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        Ok(list.next_element::<IgnoredAny>()?.is_some())
    }

    /// Reads the value that an object has under this name.
    fn member<'de, A: MapAccess<'de>>(&mut self, _name: &str, object: &mut A) -> Result<(), A::Error> {
        object.next_value::<IgnoredAny>().map(drop)
    }
}

/// Reads one value and expects the end.
///
/// # Errors
/// If it is no JSON.
pub fn read(bytes: impl Read, reader: &mut impl Reader) -> serde_json::Result<()> {
    let mut json = serde_json::Deserializer::from_reader(bytes);
    By(reader).deserialize(&mut json)?;
    json.end()
}

/// Lets a reader read what comes next.
pub struct By<'a, R>(pub &'a mut R);

impl<'de, R: Reader> DeserializeSeed<'de> for By<'_, R> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de, R: Reader> Visitor<'de> for By<'_, R> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.0.number(number);
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.text(text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.0.list();
        while self.0.item(&mut list)? {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        while let Some(name) = object.next_key::<String>()? {
            self.0.member(&name, &mut object)?;
        }
        Ok(())
    }
}
