//! Rewrites a cell for evcxr within its lines: its value is shown by the helpers, and an `impl` block replaces its older self.

use super::source::{ANCHOR, Implementation, Parsed, RESULT, is_documentation};
use std::collections::BTreeMap;

/// What evcxr gets of a cell, and where what was inserted lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// The code for evcxr; its lines are the cell's.
    pub code: String,
    /// Line and column, both from 1, and the number of characters that were inserted there.
    insertions: Vec<(usize, usize, usize)>,
}

impl Rewritten {
    /// The column in the cell of a column in the code, both from 1 and in characters.
    pub fn original_column(&self, line: usize, column: usize) -> usize {
        let mut shift = 0;
        for &(_, start, length) in self.insertions.iter().filter(|insertion| insertion.0 == line) {
            let start = start + shift;
            if column >= start + length {
                shift += length;
            } else if column >= start {
                return start - shift;
            }
        }
        column - shift
    }
}

/// The `impl` blocks that cells have defined, each with the name that evcxr knows it by.
///
/// evcxr replaces an item that is defined anew by its name, and an `impl` block has none: defined twice, it would be there
/// twice. evcxr adds a block to the item before it, though. So before each block goes an item with a name that is the same whenever
/// the block is the same: for the same trait and type, or for the same type with a function of the same name.
#[derive(Clone, Debug, Default)]
pub struct Implementations {
    known: BTreeMap<usize, Implementation>,
    next: usize,
}

impl Implementations {
    /// Rewrites a cell, whose blocks are known afterwards: keep the result if the cell compiles.
    pub fn rewrite(&mut self, parsed: &Parsed) -> Rewritten {
        let mut parts = Vec::new();
        if is_documentation(&parsed.code[parsed.start..]) {
            // Then it does not look like a comment to evcxr.
            parts.push((parsed.start, " ".to_owned()));
        }
        if parsed.errors().is_empty() {
            let mut taken = Vec::new();
            for block in parsed.implementations() {
                parts.push((block.start, self.anchors(block, &mut taken)));
            }
            if let Some((start, end)) = parsed.result() {
                parts.extend([(start, RESULT.to_owned()), (end, ");".to_owned())]);
            }
        }
        insert(parsed.code, &parts)
    }

    /// Forgets a block, by the name that it has for evcxr.
    pub fn forget(&mut self, name: &str) {
        let number = name.strip_prefix(ANCHOR).and_then(|number| number.parse().ok());
        number.map(|number: usize| self.known.remove(&number));
    }

    /// The items before a block: its own name, and those of blocks that it makes void.
    fn anchors(&mut self, block: Implementation, taken: &mut Vec<usize>) -> String {
        let same = |(name, known): (&usize, &Implementation)| {
            let overlaps = known.names.iter().any(|name| block.names.contains(name));
            let replaced =
                known.header == block.header && (block.is_of_trait || overlaps || known.names.is_empty());
            (replaced && !taken.contains(name)).then_some(*name)
        };
        let mut replaced: Vec<usize> = self.known.iter().filter_map(same).collect();
        let own = replaced.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next
        });
        replaced.iter().for_each(|void| drop(self.known.remove(void)));
        taken.push(own);
        self.known.insert(own, block);
        replaced.into_iter().chain([own]).map(|name| format!("const {ANCHOR}{name}: () = (); ")).collect()
    }
}

/// Inserts texts without line breaks at places in the order of the code.
fn insert(code: &str, parts: &[(usize, String)]) -> Rewritten {
    let mut rewritten = Rewritten::default();
    let mut done = 0;
    for (place, text) in parts {
        rewritten.code.push_str(&code[done..*place]);
        rewritten.code.push_str(text);
        let before = &code[..*place];
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let line = before.matches('\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        rewritten.insertions.push((line, column, text.chars().count()));
        done = *place;
    }
    rewritten.code.push_str(&code[done..]);
    rewritten
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrite(implementations: &mut Implementations, code: &str) -> String {
        implementations.rewrite(&Parsed::new(code)).code
    }

    #[test]
    fn the_last_expression_is_shown_and_columns_are_those_of_the_cell() {
        let code = ":dep a = \"1\"\nlet ä = 1; ä + b // sum";
        let rewritten = Implementations::default().rewrite(&Parsed::new(code));
        assert_eq!(rewritten.code, ":dep a = \"1\"\nlet ä = 1; kernel_helpers::cell_result!(ä + b); // sum");
        let place = rewritten.code.lines().nth(1).unwrap().chars().position(|c| c == 'b').unwrap() + 1;
        assert_eq!(
            rewritten.original_column(2, place),
            1 + code.lines().nth(1).unwrap().chars().position(|c| c == 'b').unwrap()
        );
        assert_eq!(rewritten.original_column(2, 5), 5);
        assert_eq!(rewritten.original_column(1, 50), 50);
    }

    #[test]
    fn what_shows_no_value_stays_as_it_is() {
        for code in ["let a = 1;", "for i in 0..3 { f(i) }", "f();", "struct A;", "let a = ;", "!ls", ""] {
            assert_eq!(rewrite(&mut Implementations::default(), code), code);
        }
    }

    #[test]
    fn an_implementation_keeps_its_name() {
        let all = &mut Implementations::default();
        let first = rewrite(all, "impl A { fn f() {} }");
        assert_eq!(first, "const IMPLEMENTATION_1: () = (); impl A { fn f() {} }");
        assert!(rewrite(all, "impl A { fn g() {} }").starts_with("const IMPLEMENTATION_2"));
        assert_eq!(rewrite(all, "impl A { fn f() {} }"), first);
        assert!(rewrite(all, "impl A { fn f() { g() } fn h() {} }").starts_with("const IMPLEMENTATION_1"));
        assert!(rewrite(all, "impl Show for A { fn f() {} }").starts_with("const IMPLEMENTATION_3"));
        assert!(rewrite(all, "impl Show for A {}").starts_with("const IMPLEMENTATION_3"));
        let both = rewrite(all, "impl A { fn h() {} fn g() {} }");
        assert!(both.starts_with("const IMPLEMENTATION_1: () = (); const IMPLEMENTATION_2"), "{both}");
    }

    #[test]
    fn two_blocks_of_one_cell_are_two() {
        let code = "impl A { fn f() {} } impl A { fn g() {} }";
        let all = &mut Implementations::default();
        let first = rewrite(all, code);
        assert!(first.contains("IMPLEMENTATION_1") && first.contains("IMPLEMENTATION_2"));
        assert_eq!(rewrite(all, code), first);
    }
}
