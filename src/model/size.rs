//! [`size`]: bytes, as every person reads them.

use bytesize::ByteSize;

/// `412 MB`, `1.5 GB`: decimal, as shops and systems write it.
pub fn size(bytes: u64) -> String {
    ByteSize(bytes).display().si().to_string().replace(".0 ", " ")
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn a_size_has_one_decimal_where_it_says_something() {
        let sizes = [0, 999, 1000, 1024, 1_500_000, 1_049_999, 412_000_000, u64::MAX].map(size);
        let wanted = ["0 B", "999 B", "1 kB", "1 kB", "1.5 MB", "1 MB", "412 MB", "18.4 EB"];
        assert_eq!(sizes, wanted);
    }
}
