//! Bodies of the type `multipart/form-data`: named parts, each a text.

use super::{PARAMETERS_MAX, Refusal};
use memchr::memmem;

/// One part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) value: String,
    /// Whether it was sent as a file.
    pub(super) is_file: bool,
}

/// Reads `body`, whose content type has `parameters`.
///
/// # Errors
/// 400 if there is no boundary, the parts are not delimited by it, there are too many, or one is no text.
pub(super) fn parts(parameters: &str, body: &[u8]) -> Result<Vec<Part>, Refusal> {
    let boundary = parameter(parameters, "boundary").filter(|boundary| (1..=70).contains(&boundary.len()));
    let boundary = boundary.ok_or_else(|| broken("its content type has no boundary of 1 to 70 characters"))?;
    let delimiter = format!("\r\n--{boundary}");
    // The first delimiter needs no line end before it.
    let mut rest = if body.starts_with(&delimiter.as_bytes()[2..]) {
        &body[delimiter.len() - 2..]
    } else {
        split(body, delimiter.as_bytes()).ok_or_else(|| broken("it does not hold its boundary"))?.1
    };
    let mut parts = Vec::new();
    while !rest.starts_with(b"--") {
        if parts.len() == PARAMETERS_MAX {
            return Err(broken(&format!("it has more than {PARAMETERS_MAX} parts")));
        }
        let (_, after_line) = split(rest, b"\r\n").ok_or_else(|| broken("its last part does not end"))?;
        let (part, after) = split(after_line, delimiter.as_bytes()).ok_or_else(|| broken("its last part does not end"))?;
        parts.push(read(part)?);
        rest = after;
    }
    Ok(parts)
}

fn read(part: &[u8]) -> Result<Part, Refusal> {
    let (head, value) = match part.strip_prefix(b"\r\n") {
        Some(value) => (&b""[..], value),
        None => split(part, b"\r\n\r\n").ok_or_else(|| broken("a part has no header"))?,
    };
    let head = std::str::from_utf8(head).map_err(|_| broken("a part's header is not UTF-8"))?;
    let disposition = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    });
    let parameters = disposition.and_then(|value| value.split_once(';')).map(|(_, parameters)| parameters);
    let parameters = parameters.ok_or_else(|| broken("a part has no name"))?;
    let name = parameter(parameters, "name").ok_or_else(|| broken("a part has no name"))?;
    let value = std::str::from_utf8(value).map_err(|_| broken("a part is not UTF-8"))?;
    Ok(Part { name, value: value.to_owned(), is_file: parameter(parameters, "filename").is_some() })
}

/// The value of the parameter `wanted` in `parameters`, which are separated by semicolons and may be quoted.
fn parameter(parameters: &str, wanted: &str) -> Option<String> {
    let mut rest = parameters;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        let (name, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = after;
    }
}

/// The text up to the closing quote, and what follows that.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(character),
        }
    }
    None
}

fn split<'a>(bytes: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    memmem::find(bytes, at).map(|found| (&bytes[..found], &bytes[found + at.len()..]))
}

fn broken(reason: &str) -> Refusal {
    Refusal::bad(format!("The multipart body cannot be read: {reason}"))
}
