//! The parts of a request, read one by one: for requests that the generated decoders cannot be trusted with.
//!
//! They reserve memory for as many elements as an array announces. [`guard`](super::guard) finds out first whether the count
//! can be true, but in a frame of 100 MiB a count of a hundred million can. Here a list grows with what is really there.

use anyhow::{Context, bail, ensure};
use bytes::{Buf, Bytes};
use kafka_protocol::protocol::StrBytes;

use super::guard::MAX_FIELDS;

/// Reads the fields of a request, in either of the protocol's two forms
/// (<https://cwiki.apache.org/confluence/display/KAFKA/KIP-482%3A+The+Kafka+Protocol+should+Support+Optional+Tagged+Fields>).
pub(crate) struct Reader {
    bytes: Bytes,
    /// Whether lengths are variable-length numbers plus one, and tagged fields follow each structure.
    is_flexible: bool,
    /// How many fields may still be read.
    fields_left: usize,
}

impl Reader {
    pub(crate) fn new(bytes: Bytes, is_flexible: bool) -> Self {
        Self {
            bytes,
            is_flexible,
            fields_left: MAX_FIELDS,
        }
    }

    pub(crate) fn read_i16(&mut self) -> anyhow::Result<i16> {
        self.count_field()?;
        Ok(self.bytes.try_get_i16()?)
    }

    pub(crate) fn read_i32(&mut self) -> anyhow::Result<i32> {
        self.count_field()?;
        Ok(self.bytes.try_get_i32()?)
    }

    /// A string, or null.
    pub(crate) fn read_nullable_string(&mut self) -> anyhow::Result<Option<StrBytes>> {
        let length = match self.is_flexible {
            true => self.read_compact_length()?,
            false => length(self.read_i16()?.into())?,
        };
        let Some(bytes) = self.take(length)? else {
            return Ok(None);
        };
        Ok(Some(StrBytes::from_utf8(bytes)?))
    }

    pub(crate) fn read_string(&mut self) -> anyhow::Result<StrBytes> {
        self.read_nullable_string()?.context("a name is null")
    }

    /// Bytes, or null, that share the memory of the frame.
    pub(crate) fn read_nullable_bytes(&mut self) -> anyhow::Result<Option<Bytes>> {
        let length = self.read_length()?;
        self.take(length)
    }

    /// An array, element by element.
    pub(crate) fn read_array<T>(
        &mut self,
        mut read_element: impl FnMut(&mut Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<Vec<T>> {
        let count = self.read_length()?.context("an array is null")?;
        let mut elements = Vec::new();
        for _ in 0..count {
            elements.push(read_element(self)?);
        }
        Ok(elements)
    }

    /// The tagged fields behind a structure: none of them is known here.
    pub(crate) fn skip_tagged_fields(&mut self) -> anyhow::Result<()> {
        if !self.is_flexible {
            return Ok(());
        }
        for _ in 0..self.read_number()? {
            let _tag = self.read_number()?;
            let length = self.read_number()? as usize;
            self.take(Some(length))?;
        }
        Ok(())
    }

    /// Length of bytes or count of an array, none for null.
    fn read_length(&mut self) -> anyhow::Result<Option<usize>> {
        match self.is_flexible {
            true => self.read_compact_length(),
            false => length(self.read_i32()?),
        }
    }

    fn read_compact_length(&mut self) -> anyhow::Result<Option<usize>> {
        Ok((self.read_number()? as usize).checked_sub(1))
    }

    /// A variable-length number of at most 32 bits.
    fn read_number(&mut self) -> anyhow::Result<u32> {
        self.count_field()?;
        let mut number = 0_u32;
        for shift in (0..35).step_by(7) {
            let byte = self.bytes.try_get_u8()?;
            number |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        bail!("a number has no end")
    }

    fn take(&mut self, length: Option<usize>) -> anyhow::Result<Option<Bytes>> {
        let Some(length) = length else {
            return Ok(None);
        };
        let left = self.bytes.len();
        ensure!(length <= left, "{length} bytes are announced, {left} left");
        Ok(Some(self.bytes.split_to(length)))
    }

    fn count_field(&mut self) -> anyhow::Result<()> {
        self.fields_left = self
            .fields_left
            .checked_sub(1)
            .with_context(|| format!("more than {MAX_FIELDS} fields"))?;
        Ok(())
    }
}

/// -1 is null.
fn length(announced: i32) -> anyhow::Result<Option<usize>> {
    match announced {
        -1 => Ok(None),
        length => Ok(Some(usize::try_from(length)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &'static [u8], is_flexible: bool) -> Reader {
        Reader::new(Bytes::from_static(bytes), is_flexible)
    }

    #[test]
    fn both_forms_are_read() {
        let mut plain = reader(
            b"\0\x02ab\xff\xff\0\0\0\x02\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff",
            false,
        );
        assert_eq!(plain.read_string().unwrap().as_str(), "ab");
        assert_eq!(plain.read_nullable_string().unwrap(), None);
        assert_eq!(plain.read_array(Reader::read_i16).unwrap(), [1, 2]);
        assert_eq!(plain.read_nullable_bytes().unwrap().unwrap(), "x");
        assert_eq!(plain.read_nullable_bytes().unwrap(), None);
        plain.skip_tagged_fields().unwrap();
        assert!(plain.bytes.is_empty());

        let mut flexible = reader(
            b"\x03ab\0\x03\0\x01\0\x02\x02x\0\x02\x05\x01y\x81\x01\0",
            true,
        );
        assert_eq!(flexible.read_string().unwrap().as_str(), "ab");
        assert_eq!(flexible.read_nullable_string().unwrap(), None);
        assert_eq!(flexible.read_array(Reader::read_i16).unwrap(), [1, 2]);
        assert_eq!(flexible.read_nullable_bytes().unwrap().unwrap(), "x");
        assert_eq!(flexible.read_nullable_bytes().unwrap(), None);
        flexible.skip_tagged_fields().unwrap();
        assert!(flexible.bytes.is_empty());
    }

    #[test]
    fn what_is_announced_and_not_there_takes_no_memory() {
        for lying in [&b"\x7f\xff\xff\xff"[..], b"\xff\xff\xff\x7f"] {
            assert!(reader(lying, false).read_array(Reader::read_i16).is_err());
            assert!(reader(lying, false).read_nullable_bytes().is_err());
        }
        for lying in [
            &b"\xff\xff\xff\xff\x0f"[..],
            b"\xff\xff\xff\xff\x7f",
            b"\x80\x80",
        ] {
            assert!(reader(lying, true).read_array(Reader::read_i16).is_err());
            assert!(reader(lying, true).read_nullable_bytes().is_err());
            assert!(reader(lying, true).skip_tagged_fields().is_err());
        }
    }

    #[test]
    fn fields_are_counted() {
        let many = Bytes::from(vec![0; 4 * MAX_FIELDS]);
        let mut reader = Reader::new(many, false);
        for _ in 0..MAX_FIELDS {
            reader.read_i16().unwrap();
        }
        assert!(reader.read_i16().is_err());
    }
}
