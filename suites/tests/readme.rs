//! What README.md quotes is what stands in the sources.

use std::path::Path;

/// The blocks of README.md in this language, without their indentation.
fn blocks(language: &str) -> Vec<String> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = std::fs::read_to_string(readme).expect("README.md");
    let (mut blocks, mut block): (Vec<String>, Option<String>) = (Vec::new(), None);
    for line in text.lines() {
        let line = line.strip_prefix("   ").unwrap_or(line);
        match &mut block {
            None if line == format!("```{language}") => block = Some(String::new()),
            Some(_) if line == "```" => blocks.extend(block.take()),
            Some(block) => {
                block.push_str(line);
                block.push('\n');
            }
            None => {}
        }
    }
    blocks
}

fn source(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a source file")
}

#[test]
fn the_quoted_case_and_its_statement_are_real() {
    let (cases, statements) = (blocks("rust"), blocks("toml"));
    assert_eq!((cases.len(), statements.len()), (1, 1));
    assert!(source("src/unregister/waiters.rs").contains(&cases[0]), "the quoted case is not in the source");
    assert!(
        source("statements/unregister.toml").contains(&statements[0]),
        "the quoted statement is not in the catalogue"
    );
}
