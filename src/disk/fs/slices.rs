//! Bytes that lie apart in memory and follow each other in a file.

use std::io::{self, ErrorKind, IoSlice};

/// How many they are.
pub fn size_of(parts: &[&[u8]]) -> usize {
    parts.iter().map(|part| part.len()).sum()
}

/// Splits them into so many bytes each, as long as there are some.
pub fn split<'a, const N: usize>(parts: &[&'a [u8]], mut sizes: [usize; N]) -> [Vec<&'a [u8]>; N] {
    let mut split = [const { Vec::new() }; N];
    for part in parts {
        let mut rest = *part;
        for (parts, size) in split.iter_mut().zip(&mut sizes) {
            let (bytes, later) = split_at(rest, *size);
            rest = later;
            *size -= bytes.len();
            if !bytes.is_empty() {
                parts.push(bytes);
            }
        }
    }
    split
}

/// Splits bytes of which there may be fewer.
pub fn split_at(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at(at.min(bytes.len()))
}

/// Has each part written where it belongs, from `offset` on.
pub fn each(
    parts: &[&[u8]],
    mut offset: u64,
    mut write: impl FnMut(&[u8], u64) -> io::Result<()>,
) -> io::Result<()> {
    for part in parts {
        write(part, offset)?;
        offset += part.len() as u64;
    }
    Ok(())
}

/// Has all slices written by something that writes as much as it can, and is told how much was written before. (`std::io`
/// has no such thing yet: <https://github.com/rust-lang/rust/issues/70436>.)
pub fn write_all(
    mut slices: &mut [IoSlice<'_>],
    mut write: impl FnMut(&[IoSlice<'_>], u64) -> io::Result<usize>,
) -> io::Result<()> {
    let mut written = 0;
    while !slices.is_empty() {
        match write(slices, written) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(size) => {
                IoSlice::advance_slices(&mut slices, size);
                written += size as u64;
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn all_is_written_however_little_is_at_once() {
        let bytes: Vec<u8> = (0..99).collect();
        let mut slices = [&bytes[..9], &[], &bytes[9..70], &bytes[70..]].map(IoSlice::new);
        let (mut written, mut is_interrupted) = (Vec::new(), false);
        let few = |slices: &[IoSlice<'_>], before| {
            assert_eq!(before, written.len() as u64);
            is_interrupted = !is_interrupted;
            if is_interrupted {
                return Err(ErrorKind::Interrupted.into());
            }
            let (now, _) = split_at(&slices[0], 7);
            written.extend_from_slice(now);
            Ok(now.len())
        };
        write_all(&mut slices, few).unwrap();
        assert_eq!(written, bytes);
    }
}
