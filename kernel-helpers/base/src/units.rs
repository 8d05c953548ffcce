//! Counts and sizes as people read them.

/// A count with a comma between thousands: `272,474`.
///
/// ```
/// assert_eq!(kernel_helpers::base::units::grouped(272_474), "272,474");
/// ```
pub fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// A size in memory, to about two digits: `24 B`, `1.1 MB`.
///
/// ```
/// use kernel_helpers::base::units::bytes;
///
/// assert_eq!([24, 1_089_896].map(bytes), ["24 B", "1.1 MB"]);
/// ```
pub fn bytes(count: usize) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let mut size = count as f64 / 1e3;
    let mut units = UNITS.into_iter();
    let mut unit = units.next();
    while size >= 999.5 && units.len() > 0 {
        (size, unit) = (size / 1e3, units.next());
    }
    match unit {
        Some(_) if count < 1000 => format!("{count} B"),
        Some(unit) if size < 9.95 => format!("{size:.1} {unit}"),
        unit => format!("{size:.0} {}", unit.unwrap_or("TB")),
    }
}

/// A type's name without the modules: `Vec<Option<Tensor>>` for `alloc::vec::Vec<…>`.
///
/// ```
/// use kernel_helpers::base::units::short_type_name;
///
/// assert_eq!(short_type_name(std::any::type_name::<Vec<Option<u8>>>()), "Vec<Option<u8>>");
/// ```
pub fn short_type_name(name: &str) -> String {
    let (mut short, mut segment) = (String::new(), String::new());
    let mut rest = name.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            ':' if rest.peek() == Some(&':') => {
                rest.next();
                segment.clear();
            }
            c if c.is_alphanumeric() || "_{}#".contains(c) => segment.push(c),
            c => {
                short.push_str(&std::mem::take(&mut segment));
                short.push(c);
            }
        }
    }
    short + &segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(
            [0, 999, 1000, 269_722, 1_234_567].map(grouped),
            ["0", "999", "1,000", "269,722", "1,234,567"]
        );
    }

    #[test]
    fn sizes_have_about_two_digits() {
        let sizes =
            [0, 999, 1000, 1_089_896, 9_960_000, 999_600, 153_600_000, 2_000_000_000_000_000].map(bytes);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "1.1 MB", "10 MB", "1.0 MB", "154 MB", "2000 TB"]);
    }

    #[test]
    fn a_types_name_is_short() {
        let name = |name| short_type_name(name);
        assert_eq!(name("alloc::vec::Vec<core::option::Option<ctx::a::Net>>"), "Vec<Option<Net>>");
        assert_eq!(name("(ctx::Silent, [u8; 2], &dyn a::B)"), "(Silent, [u8; 2], &dyn B)");
        assert_eq!(name("ctx::run_user_code_1::{{closure}}"), "{{closure}}");
    }
}
