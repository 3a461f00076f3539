//! Words and columns that several formats share.

/// Whether no format may carry this character: controls, and what XML and terminals do not take.
fn is_foul(character: char) -> bool {
    (character.is_control() && character != '\n')
        || matches!(character, '\u{fffe}' | '\u{ffff}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with tabs as spaces and characters that could steer a terminal replaced; line ends stay.
pub(super) fn clean(text: &str) -> String {
    text.replace("\r\n", "\n")
        .chars()
        .map(|character| match character {
            '\t' | '\r' => ' ',
            foul if is_foul(foul) => '\u{fffd}',
            other => other,
        })
        .collect()
}

/// The cleaned text on one line.
pub(super) fn one_line(text: &str) -> String {
    let clean = clean(text);
    let lines: Vec<&str> = clean.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ")
}

/// `1 case`, `2 cases`
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Columns of text, each as wide as its widest cell.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| Some(row.get(column)?.chars().count())).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let line: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        out.push_str(line.join("  ").trim_end());
        out.push('\n');
    }
    out
}

/// The words in lines of at most `width` characters where that is possible, all but the first indented.
pub(super) fn wrap(text: &str, indent: usize, width: usize) -> String {
    let mut out = String::new();
    let mut column = indent;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > indent && column + 1 + length > width {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = indent;
        } else if column > indent {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(clean("a\x1b[31mb\u{202e}\r\nc\td"), "a\u{fffd}[31mb\u{fffd}\nc d");
        assert_eq!(one_line(" a \n\n b\r\n"), "a; b");
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".to_owned(), "b".to_owned()], vec!["–––".to_owned(), "c".to_owned()]];
        assert_eq!(table(&rows), "a    b\n–––  c\n");
    }

    #[test]
    fn long_text_is_wrapped_under_its_indent() {
        assert_eq!(wrap("one two three", 2, 9), "one two\n  three");
        assert_eq!(wrap("enormousword x", 2, 5), "enormousword\n  x");
    }
}
