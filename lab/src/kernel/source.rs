//! What a cell's source is made of, and what evcxr gets of it.

use ra_ap_syntax::ast::{self, HasModuleItem, HasName};
use ra_ap_syntax::{AstNode, Edition, SourceFile, SyntaxKind, SyntaxNode};

/// Around a cell's statements, so that they can be parsed.
const BEFORE: &str = "fn cell() {";
const AFTER: &str = "\n}";

/// Begins the names that `impl` blocks have for evcxr.
pub const ANCHOR: &str = "IMPLEMENTATION_";

/// Shows the value at the end of a cell.
pub const RESULT: &str = "kernel_helpers::cell_result!(";

/// A cell's Rust code, parsed; commands such as `:dep` before it are not part of it.
pub struct Parsed<'a> {
    /// The cell.
    pub code: &'a str,
    /// Where the Rust code begins.
    pub start: usize,
    file: SourceFile,
    /// The message and place of each syntax error.
    errors: Vec<(String, usize)>,
}

/// A type, or what a type may be made of, that a cell defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// Its text, without what does not matter.
    pub text: String,
}

/// An `impl` block, as far as it is told from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Implementation {
    /// The text up to its body.
    pub header: String,
    /// Whether it is of a trait.
    pub is_of_trait: bool,
    /// What it defines.
    pub names: Vec<String>,
    /// Where it begins in the cell.
    pub start: usize,
}

impl<'a> Parsed<'a> {
    /// Parses a cell.
    pub fn new(code: &'a str) -> Self {
        let start = rust_start(code);
        let text = format!("{BEFORE}{}{AFTER}", &code[start..]);
        let parse = SourceFile::parse(&text, Edition::Edition2024);
        let place = |offset: usize| (offset.saturating_sub(BEFORE.len()) + start).min(code.len());
        let errors = parse
            .errors()
            .iter()
            .map(|error| (error.to_string(), place(error.range().start().into())))
            .collect();
        Parsed { code, start, file: parse.tree(), errors }
    }

    /// The syntax errors, each with its place in the cell.
    pub fn errors(&self) -> &[(String, usize)] {
        &self.errors
    }

    fn statements(&self) -> Option<ast::StmtList> {
        match self.file.items().next()? {
            ast::Item::Fn(function) => function.body()?.stmt_list(),
            _ => None,
        }
    }

    fn items(&self) -> impl Iterator<Item = ast::Item> {
        let list = self.statements();
        list.into_iter()
            .flat_map(|list| list.syntax().children().filter_map(ast::Item::cast).collect::<Vec<_>>())
    }

    /// Where a node is in the cell.
    fn range(&self, node: &SyntaxNode) -> (usize, usize) {
        let range = node.text_range();
        let place = |offset: usize| offset - BEFORE.len() + self.start;
        (place(range.start().into()), place(range.end().into()))
    }

    /// The types that the cell defines.
    pub fn definitions(&self) -> Vec<Definition> {
        self.items().filter_map(|item| definition(&item)).collect()
    }

    /// Whether there is more than items: something that runs.
    pub fn has_statements(&self) -> bool {
        let list = self.statements();
        let calls_shell = self.code[..self.start].lines().any(|line| line.starts_with('!'));
        calls_shell
            || list.is_some_and(|list| list.syntax().children().any(|node| ast::Item::cast(node).is_none()))
    }

    /// The cell's code with blanks in place of all that is not an item or a command of evcxr's, at the same places.
    pub fn items_alone(&self) -> String {
        let mut blank: Vec<u8> =
            self.code.bytes().map(|byte| if byte == b'\n' { byte } else { b' ' }).collect();
        let mut line_start = 0;
        for line in self.code[..self.start].split_inclusive('\n') {
            if line.trim_start().starts_with(':') {
                blank[line_start..line_start + line.len()].copy_from_slice(line.as_bytes());
            }
            line_start += line.len();
        }
        for item in self.items() {
            let (start, end) = self.range(item.syntax());
            blank[start..end].copy_from_slice(&self.code.as_bytes()[start..end]);
        }
        // Each item is whole, so the text is.
        String::from_utf8_lossy(&blank).into_owned()
    }

    /// The `impl` blocks.
    pub fn implementations(&self) -> Vec<Implementation> {
        let blocks = self.items().filter_map(|item| match item {
            ast::Item::Impl(block) => Some(block),
            _ => None,
        });
        blocks.map(|block| self.implementation(&block)).collect()
    }

    fn implementation(&self, block: &ast::Impl) -> Implementation {
        let (start, _) = self.range(block.syntax());
        let body = block.assoc_item_list();
        let names = body.into_iter().flat_map(|body| body.assoc_items().collect::<Vec<_>>());
        let names = names.filter_map(|item| match item {
            ast::AssocItem::Fn(item) => item.name(),
            ast::AssocItem::Const(item) => item.name(),
            ast::AssocItem::TypeAlias(item) => item.name(),
            ast::AssocItem::MacroCall(_) => None,
        });
        Implementation {
            header: header(block),
            is_of_trait: block.trait_().is_some(),
            names: names.map(|name| name.to_string()).collect(),
            start,
        }
    }

    /// The place of the expression whose value the cell shows.
    pub fn result(&self) -> Option<(usize, usize)> {
        let expression = self.statements()?.tail_expr()?;
        let is_loop = matches!(expression, ast::Expr::ForExpr(_) | ast::Expr::WhileExpr(_));
        (!is_loop).then(|| self.range(expression.syntax()))
    }
}

/// The text of an `impl` block up to its body.
fn header(block: &ast::Impl) -> String {
    let parts = block.syntax().children_with_tokens();
    let header = parts.take_while(|part| part.kind() != SyntaxKind::ASSOC_ITEM_LIST);
    let header: String =
        header.filter(|part| part.kind() != SyntaxKind::ATTR).map(|part| part.to_string()).collect();
    header.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A line for evcxr without what shows the result.
pub fn without_result(line: &str) -> &str {
    line.strip_prefix(RESULT).map_or(line, |rest| rest.strip_suffix(");").unwrap_or(rest))
}

/// Where a cell's Rust code begins: evcxr takes commands only before it.
fn rust_start(code: &str) -> usize {
    let mut start = 0;
    for line in code.split_inclusive('\n') {
        let trimmed = line.trim_start_matches(' ');
        let is_command = trimmed.starts_with(':') && !trimmed.starts_with("::") || line.starts_with('!');
        let is_comment = line.starts_with("//") && !is_documentation(line);
        if !is_command && !is_comment && !line.trim().is_empty() {
            break;
        }
        start += line.len();
    }
    start
}

/// Whether a line documents what follows it: evcxr takes it for a comment if it is the first of a cell.
pub fn is_documentation(line: &str) -> bool {
    line.starts_with("///")
}

/// The definitions in a text of items, such as all that cells have defined so far.
pub fn definitions_in(items: &str) -> Vec<Definition> {
    let file = SourceFile::parse(items, Edition::Edition2024).tree();
    file.items().filter_map(|item| definition(&item)).collect()
}

/// An item of the code that cells have defined, as it can be told to the user and to evcxr.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// The name by which evcxr would replace it.
    pub name: String,
    /// What it is: `fn f`, `impl A`.
    pub title: String,
}

/// The items in these lines, counted from 1, of the code that evcxr has made of all cells.
pub fn items_in_lines(code: &str, lines: &[usize]) -> Vec<Item> {
    let file = SourceFile::parse(code, Edition::Edition2024).tree();
    let line_at = |offset: usize| code[..offset].matches('\n').count() + 1;
    let (mut found, mut anchor) = (Vec::new(), None);
    for item in file.items() {
        let range = item.syntax().text_range();
        let is_in =
            (line_at(range.start().into())..=line_at(range.end().into())).any(|line| lines.contains(&line));
        let item = match &item {
            ast::Item::Fn(item) => {
                item.name().map(|name| Item { name: name.to_string(), title: format!("fn {name}") })
            }
            ast::Item::Impl(block) => anchor.clone().map(|name| Item { name, title: header(block) }),
            _ => None,
        };
        anchor = definition_name(&file, range).filter(|name| name.starts_with(ANCHOR));
        found.extend(item.filter(|_| is_in));
    }
    found
}

fn definition_name(file: &SourceFile, range: ra_ap_syntax::TextRange) -> Option<String> {
    let item = file.items().find(|item| item.syntax().text_range() == range)?;
    definition(&item).map(|definition| definition.name)
}

fn definition(item: &ast::Item) -> Option<Definition> {
    let name = match item {
        ast::Item::Struct(item) => item.name(),
        ast::Item::Enum(item) => item.name(),
        ast::Item::Union(item) => item.name(),
        ast::Item::TypeAlias(item) => item.name(),
        ast::Item::Trait(item) => item.name(),
        ast::Item::Const(item) => item.name(),
        ast::Item::Module(item) => item.name(),
        _ => None,
    }?;
    let tokens = item.syntax().descendants_with_tokens().filter_map(|element| element.into_token());
    let tokens = tokens.filter(|token| !token.kind().is_trivia());
    let text: Vec<String> = tokens.map(|token| token.text().to_owned()).collect();
    Some(Definition { name: name.to_string(), text: text.join(" ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_found_by_their_lines() {
        let code = "struct A;\nfn f() {\n    g()\n}\nconst IMPLEMENTATION_7: () = (); impl A {\n}\nfn h() {}";
        let item = |name: &str, title: &str| Item { name: name.to_owned(), title: title.to_owned() };
        assert_eq!(items_in_lines(code, &[3, 6]), [item("f", "fn f"), item("IMPLEMENTATION_7", "impl A")]);
        assert_eq!(items_in_lines(code, &[1]), []);
    }

    #[test]
    fn items_can_be_had_alone() {
        let code = "struct A { x: i32 }\nlet a = A { x: 1 };";
        let parsed = Parsed::new(code);
        assert_eq!(parsed.items_alone(), "struct A { x: i32 }\n                   ");
        assert!(parsed.has_statements());
        assert!(!Parsed::new("struct A; fn f() {}").has_statements());
        let commands = Parsed::new(":dep a = \"1\"\n!ls\nstruct A;");
        assert_eq!(commands.items_alone(), ":dep a = \"1\"\n   \nstruct A;");
        assert!(commands.has_statements());
        assert_eq!(parsed.definitions(), definitions_in("struct A{x:i32}"));
    }
}
