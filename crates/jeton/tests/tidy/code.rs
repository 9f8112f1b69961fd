//! Rust source without its comments and without the insides of its literals, so that a rule about
//! code never stumbles over prose. Lines stay where they are.

/// The same text with comments and the insides of literals turned into spaces.
pub(crate) fn only_code(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let rest = &characters[at..];
        let after_word = at > 0 && is_word(characters[at - 1]);
        let (keep, length) = token(rest, after_word);
        for (index, character) in rest[..length].iter().enumerate() {
            let stays = index < keep || *character == '\n';
            code.push(if stays { *character } else { ' ' });
        }
        at += length;
    }
    code
}

/// How long the token at the start of `rest` is, and how many of its characters are code.
fn token(rest: &[char], after_word: bool) -> (usize, usize) {
    match rest {
        ['/', '/', ..] => (0, until(rest, |rest| rest.first() == Some(&'\n'))),
        ['/', '*', ..] => (0, block_comment(rest)),
        ['"', ..] => (1, string(rest)),
        ['r' | 'b' | 'c', ..] if !after_word => match raw_string(rest) {
            Some(length) => (1, length),
            None => (1, 1),
        },
        ['\'', '\\', ..] => (1, 3 + until(&rest[3..], |rest| rest.first() == Some(&'\'')) + 1),
        ['\'', _, '\'', ..] => (1, 3),
        _ => (1, 1),
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The number of characters before `end` holds, or all of them.
fn until(rest: &[char], end: impl Fn(&[char]) -> bool) -> usize {
    (0..rest.len()).find(|&at| end(&rest[at..])).unwrap_or(rest.len())
}

/// Rust's block comments nest.
fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `r"…"`, `r#"…"#`, `br"…"`, `cr"…"`. A plain `b"…"` is left to [`string`].
fn raw_string(rest: &[char]) -> Option<usize> {
    let letters = until(rest, |rest| !matches!(rest.first(), Some('r' | 'b' | 'c')));
    let hashes = until(&rest[letters..], |rest| rest.first() != Some(&'#'));
    let is_raw = rest[..letters].contains(&'r') && letters <= 2;
    if !is_raw || rest.get(letters + hashes) != Some(&'"') {
        return None;
    }
    let start = letters + hashes + 1;
    let ends = |rest: &[char]| {
        rest.first() == Some(&'"') && rest[1..].iter().take_while(|&&c| c == '#').count() >= hashes
    };
    Some((start + until(&rest[start..], ends) + 1 + hashes).min(rest.len()))
}

#[test]
fn comments_and_literals_are_blanked_and_code_is_not() {
    let cases = [
        ("a // todo!()\nb", "a b"),
        ("a /* x /* y */ z */ b", "a b"),
        (r#"f("a\"b}", c)"#, "f(\" , c)"),
        ("f(r#\"a\"b}\"#, c)", "f(r , c)"),
        ("br\"}\" c", "b c"),
        ("b\"}\" c", "b\" c"),
        ("m('{', '\\'', '\\u{7D}', x)", "m(' , ' , ' , x)"),
        ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
        ("r#type = 1", "r#type = 1"),
    ];
    for (text, code) in cases {
        let found = only_code(text);
        assert_eq!(found.split_whitespace().collect::<Vec<_>>().join(" "), code, "{text}");
        assert_eq!(found.chars().count(), text.chars().count(), "{text}");
        assert_eq!(found.lines().count(), text.lines().count(), "{text}");
    }
}
