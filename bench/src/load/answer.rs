//! Where an answer ends, and what it says: as little HTTP/1.1 as a load generator needs.
//!
//! Servers say nearly the same head every time. What was learned from one answer is tried on the next, so
//! that in the common case an answer costs two comparisons.

use std::ops::Range;

const HEAD_END: &[u8] = b"\r\n\r\n";

/// A whole answer within the bytes that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Where its body is. Of a chunked body, the size of its first chunk is left away.
    pub(crate) body: Range<usize>,
    /// The server will not take another request on this connection.
    pub(crate) closes: bool,
}

/// What the last plain answer looked like.
#[derive(Clone)]
struct Known {
    status_line: Vec<u8>,
    status: u16,
    head: usize,
    /// Where the number of its `Content-Length` stood, and which it was.
    length_at: Range<usize>,
    length_text: Vec<u8>,
    length: usize,
}

/// Reads answers.
#[derive(Default)]
pub(crate) struct Reader {
    known: Option<Known>,
}

impl Reader {
    /// The answer that these bytes are, once it is whole.
    ///
    /// # Errors
    /// What is not HTTP about them.
    pub(crate) fn whole(&mut self, bytes: &[u8]) -> Result<Option<Answer>, &'static str> {
        if let Some(known) = &self.known
            && known.fits(bytes)
        {
            let body = known.head..known.head + known.length;
            return Ok(Some(Answer { status: known.status, body, closes: false }));
        }
        let Some(end) = find(bytes, HEAD_END) else { return Ok(None) };
        let head = end + HEAD_END.len();
        self.read(bytes, head)
    }

    fn read(&mut self, bytes: &[u8], head: usize) -> Result<Option<Answer>, &'static str> {
        let text = bytes.get(..head).and_then(|head| std::str::from_utf8(head).ok());
        let text = text.ok_or("the head of an answer is not text")?;
        let status_line = text.split("\r\n").next().unwrap_or_default();
        let status = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let status: u16 = status.and_then(|status| status.parse().ok()).ok_or("no status line")?;
        let closes = field(text, "connection").is_some_and(|(_, value)| value.contains("close"));
        if let Some((at, value)) = field(text, "content-length") {
            let length: usize = value.parse().map_err(|_| "Content-Length is no number")?;
            if bytes.len() < head + length {
                return Ok(None);
            }
            self.known = (!closes).then(|| Known {
                status_line: status_line.as_bytes().to_vec(),
                status,
                head,
                length_at: at..at + value.len(),
                length_text: value.as_bytes().to_vec(),
                length,
            });
            return Ok(Some(Answer { status, body: head..head + length, closes }));
        }
        if field(text, "transfer-encoding").is_some() {
            let chunks = bytes.get(head..).unwrap_or_default();
            if !chunks.ends_with(b"0\r\n\r\n") {
                return Ok(None);
            }
            let first = find(chunks, b"\r\n").map_or(0, |at| at + 2);
            return Ok(Some(Answer { status, body: head + first..bytes.len(), closes }));
        }
        // 204, and nothing else that a server under test sends, has no body without saying so.
        Ok(Some(Answer { status, body: head..head, closes }))
    }
}

impl Known {
    fn fits(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.head + self.length
            && bytes.starts_with(&self.status_line)
            && bytes.get(self.head - HEAD_END.len()..self.head) == Some(HEAD_END)
            && bytes.get(self.length_at.clone()) == Some(&self.length_text)
    }
}

/// A header field of a head: where its value begins, and the value.
fn field<'a>(head: &'a str, name: &str) -> Option<(usize, &'a str)> {
    let mut at = 0;
    for line in head.split("\r\n") {
        if let Some((field, value)) = line.split_once(':')
            && field.eq_ignore_ascii_case(name)
        {
            let trimmed = value.trim_start();
            return Some((at + field.len() + 1 + value.len() - trimmed.len(), trimmed));
        }
        at += line.len() + 2;
    }
    None
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ndate: x\r\n\r\nabc";

    #[test]
    fn an_answer_is_whole_when_its_last_byte_is_there() {
        let mut reader = Reader::default();
        for end in 0..PLAIN.len() {
            assert_eq!(reader.whole(&PLAIN.as_bytes()[..end]), Ok(None), "{end}");
        }
        for _ in 0..2 {
            let answer = reader.whole(PLAIN.as_bytes()).unwrap().unwrap();
            assert_eq!((answer.status, answer.closes), (200, false));
            assert_eq!(&PLAIN.as_bytes()[answer.body], b"abc");
        }
    }

    #[test]
    fn what_was_learned_is_not_believed_of_another_answer() {
        let mut reader = Reader::default();
        reader.whole(PLAIN.as_bytes()).unwrap();
        let refused = PLAIN.replace("200 OK", "400 No");
        assert_eq!(reader.whole(refused.as_bytes()).unwrap().unwrap().status, 400);
        reader.whole(PLAIN.as_bytes()).unwrap();
        // As many bytes, but one of them is missing.
        let longer = PLAIN.replace("length: 3", "length: 4");
        assert_eq!(reader.whole(longer.as_bytes()), Ok(None));
    }

    #[test]
    fn answers_without_a_length_are_read_too() {
        let mut reader = Reader::default();
        let none = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
        let answer = reader.whole(none).unwrap().unwrap();
        assert_eq!((answer.status, answer.closes, answer.body.len()), (204, true, 0));
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        assert_eq!(reader.whole(&chunked.as_bytes()[..50]), Ok(None));
        let answer = reader.whole(chunked.as_bytes()).unwrap().unwrap();
        assert!(chunked.as_bytes()[answer.body].starts_with(b"abc"));
        assert!(reader.whole(b"SSH-2.0\r\n\r\n").is_err());
    }
}
