//! [`Reader`]: pulls one bencoded value after another out of bytes from outside.
//!
//! It is as strict as BEP 3 (<https://www.bittorrent.org/beps/bep_0003.html>): one way to write a
//! number, no key twice, nothing after the end. Only the order of keys is let go, because torrents
//! with unsorted keys are in use and the order changes no meaning.
//!
//! The work is bounded by the input: recursion ends at [`MAX_NESTING`], strings are borrowed, and
//! nothing is allocated because of a length that the input claims. What the values mean is the
//! caller's business; a number that does not fit an `i64` is refused wherever it stands.

use std::collections::BTreeSet;

/// Keys of a dictionary that are kept in place.
const FEW: usize = 8;

/// How deep lists and dictionaries may lie in each other.
pub const MAX_NESTING: usize = 64;

/// Why bytes are not bencode. Places are counted in bytes from the beginning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BencodeError {
    #[error("it ends at byte {0}, in the middle of a value")]
    Cut(usize),
    #[error("byte {at} does not begin {wanted}")]
    Unexpected { at: usize, wanted: &'static str },
    #[error("the number at byte {0} is not written as bencode writes numbers")]
    Number(usize),
    #[error("the number at byte {0} does not fit into 64 bits")]
    Overflow(usize),
    #[error("the string at byte {at} claims {claimed} bytes, but only {left} follow")]
    Length { at: usize, claimed: usize, left: usize },
    #[error("the key at byte {0} stands twice in its dictionary")]
    DuplicateKey(usize),
    #[error("the value at byte {0} is nested deeper than {MAX_NESTING} levels")]
    Nesting(usize),
    #[error("there are {0} bytes after its end")]
    Trailing(usize),
}

/// What a value is, told from its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Number,
    String,
    List,
    Dictionary,
}

/// Keys of a dictionary. Most have but a few, and a release as many dictionaries as files: those are told apart without
/// taking memory for each.
#[derive(Default)]
struct Keys<'a> {
    few: [Option<&'a [u8]>; FEW],
    others: BTreeSet<&'a [u8]>,
}

impl<'a> Keys<'a> {
    /// Whether it is a new one.
    fn insert(&mut self, key: &'a [u8]) -> bool {
        if self.few.contains(&Some(key)) {
            return false;
        }
        match self.few.iter_mut().find(|place| place.is_none()) {
            Some(place) => {
                *place = Some(key);
                true
            }
            None => self.others.insert(key),
        }
    }
}

/// A place in a bencoded document.
#[derive(Debug)]
pub struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    nesting: usize,
}

impl<'a> Reader<'a> {
    pub fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0, nesting: 0 }
    }

    /// What stands next; `None` when that is no value.
    pub fn kind(&self) -> Option<Kind> {
        match self.peek()? {
            b'i' => Some(Kind::Number),
            b'0'..=b'9' => Some(Kind::String),
            b'l' => Some(Kind::List),
            b'd' => Some(Kind::Dictionary),
            _ => None,
        }
    }

    pub fn number(&mut self) -> Result<i64, BencodeError> {
        self.take(b'i', "a number")?;
        let start = self.at;
        let sign = usize::from(self.peek() == Some(b'-'));
        let text = self.digits(sign, b'e')?;
        text.parse().map_err(|_| BencodeError::Overflow(start))
    }

    pub fn string(&mut self) -> Result<&'a [u8], BencodeError> {
        let at = self.at;
        match self.kind() {
            Some(Kind::String) => {}
            Some(Kind::Number | Kind::List | Kind::Dictionary) | None => {
                return Err(self.unexpected("a string"));
            }
        }
        let claimed = self.digits(0, b':')?.parse().map_err(|_| BencodeError::Overflow(at))?;
        let rest = self.rest();
        let string = rest.get(..claimed);
        let string = string.ok_or(BencodeError::Length { at, claimed, left: rest.len() })?;
        self.at += claimed;
        Ok(string)
    }

    /// Calls `item` once per item; it must read exactly that item.
    pub fn list<E: From<BencodeError>>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.open(b'l', "a list")?;
        while !self.close() {
            item(self)?;
        }
        Ok(())
    }

    /// Calls `value` once per key; it must read exactly that key's value.
    pub fn dictionary<E: From<BencodeError>>(
        &mut self,
        mut value: impl FnMut(&'a [u8], &mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.open(b'd', "a dictionary")?;
        let mut keys = Keys::default();
        while !self.close() {
            let at = self.at;
            let key = self.string()?;
            if !keys.insert(key) {
                return Err(BencodeError::DuplicateKey(at).into());
            }
            value(key, self)?;
        }
        Ok(())
    }

    /// Reads over a value, which must obey every rule all the same.
    pub fn skip(&mut self) -> Result<(), BencodeError> {
        match self.kind() {
            Some(Kind::Number) => self.number().map(drop),
            Some(Kind::String) => self.string().map(drop),
            Some(Kind::List) => self.list(Self::skip),
            Some(Kind::Dictionary) => self.dictionary(|_, reader| reader.skip()),
            None => Err(self.unexpected("a value")),
        }
    }

    /// What `read` makes of the next value, and the bytes that it is written in.
    pub fn with_raw<T, E>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<(T, &'a [u8]), E> {
        let start = self.at;
        let value = read(self)?;
        Ok((value, self.input.get(start..self.at).unwrap_or_default()))
    }

    /// Refuses anything that follows.
    pub fn end(&self) -> Result<(), BencodeError> {
        match self.rest().len() {
            0 => Ok(()),
            left => Err(BencodeError::Trailing(left)),
        }
    }

    fn rest(&self) -> &'a [u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    fn take(&mut self, byte: u8, wanted: &'static str) -> Result<(), BencodeError> {
        if self.peek() != Some(byte) {
            return Err(self.unexpected(wanted));
        }
        self.at += 1;
        Ok(())
    }

    fn open(&mut self, byte: u8, wanted: &'static str) -> Result<(), BencodeError> {
        if self.nesting == MAX_NESTING {
            return Err(BencodeError::Nesting(self.at));
        }
        self.take(byte, wanted)?;
        self.nesting += 1;
        Ok(())
    }

    /// Whether the list or dictionary is over.
    fn close(&mut self) -> bool {
        let over = self.peek() == Some(b'e');
        if over {
            self.at += 1;
            self.nesting -= 1;
        }
        over
    }

    /// The digits up to `end`, after `sign` bytes of sign: never empty, no zero in front, no `-0`.
    fn digits(&mut self, sign: usize, end: u8) -> Result<&'a str, BencodeError> {
        let start = self.at;
        let rest = self.rest();
        let digits = rest.iter().skip(sign).take_while(|byte| byte.is_ascii_digit()).count();
        let (text, after) = rest.split_at_checked(sign + digits).unwrap_or((rest, &[]));
        match after.first() {
            None => return Err(BencodeError::Cut(self.input.len())),
            Some(&byte) if byte != end => return Err(BencodeError::Number(start)),
            Some(_) => self.at += text.len() + 1,
        }
        let zero_in_front = text.get(sign) == Some(&b'0') && text.len() > 1;
        if digits == 0 || zero_in_front {
            return Err(BencodeError::Number(start));
        }
        str::from_utf8(text).map_err(|_| BencodeError::Number(start))
    }

    fn unexpected(&self, wanted: &'static str) -> BencodeError {
        match self.peek() {
            Some(_) => BencodeError::Unexpected { at: self.at, wanted },
            None => BencodeError::Cut(self.at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skipped(input: &[u8]) -> Result<(), BencodeError> {
        let mut reader = Reader::new(input);
        reader.skip()?;
        reader.end()
    }

    #[test]
    fn numbers_have_one_way_to_be_written() {
        let read = |input: &str| Reader::new(input.as_bytes()).number();
        assert_eq!(read("i0e"), Ok(0));
        assert_eq!(read("i-9223372036854775808e"), Ok(i64::MIN));
        assert_eq!(read("i9223372036854775807e"), Ok(i64::MAX));
        for bad in ["ie", "i-e", "i-0e", "i00e", "i-01e", "i+1e", "i 1e", "i1 e", "i1-1e", "i--1e"]
        {
            assert_eq!(read(bad), Err(BencodeError::Number(1)), "{bad}");
        }
        assert_eq!(read("i9223372036854775808e"), Err(BencodeError::Overflow(1)));
        for cut in ["", "i", "i-", "i1"] {
            assert_eq!(read(cut), Err(BencodeError::Cut(cut.len())), "{cut}");
        }
    }

    #[test]
    fn a_string_is_as_long_as_it_says() {
        let read = |input| Reader::new(input).string();
        assert_eq!(read(b"0:"), Ok(&b""[..]));
        assert_eq!(read(b"2:abc"), Ok(&b"ab"[..]));
        assert_eq!(read(b"3:ab"), Err(BencodeError::Length { at: 0, claimed: 3, left: 2 }));
        assert_eq!(read(b"02:ab"), Err(BencodeError::Number(0)));
        assert_eq!(read(b"-1:a"), Err(BencodeError::Unexpected { at: 0, wanted: "a string" }));
        assert_eq!(read(b"99999999999999999999:"), Err(BencodeError::Overflow(0)));
    }

    #[test]
    fn keys_may_be_unsorted_but_not_twice() {
        assert_eq!(skipped(b"d1:b0:1:a0:e"), Ok(()));
        assert_eq!(skipped(b"d1:b0:1:a0:1:b0:e"), Err(BencodeError::DuplicateKey(11)));
        let many = ('a'..='z').map(|key| format!("1:{key}0:")).collect::<Vec<_>>().concat();
        assert_eq!(skipped(format!("d{many}e").as_bytes()), Ok(()));
        for key in 'a'..='z' {
            let twice = format!("d{many}1:{key}0:e");
            let place = BencodeError::DuplicateKey(1 + many.len());
            assert_eq!(skipped(twice.as_bytes()), Err(place), "{key}");
        }
        assert_eq!(
            skipped(b"di1e0:e"),
            Err(BencodeError::Unexpected { at: 1, wanted: "a string" })
        );
    }

    #[test]
    fn nesting_ends_at_its_limit() {
        let nested = |levels| ["l".repeat(levels), "e".repeat(levels)].concat();
        assert_eq!(skipped(nested(MAX_NESTING).as_bytes()), Ok(()));
        assert_eq!(skipped(nested(MAX_NESTING + 1).as_bytes()), Err(BencodeError::Nesting(64)));
    }

    #[test]
    fn the_raw_bytes_of_a_value_are_exactly_its_own() {
        let mut reader = Reader::new(b"li1e2:abei2e");
        let read = reader.with_raw(Reader::skip);
        assert_eq!(read, Ok(((), &b"li1e2:abe"[..])));
        assert_eq!(reader.end(), Err(BencodeError::Trailing(3)));
    }
}
