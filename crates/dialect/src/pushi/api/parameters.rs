//! Where parameters come from (I-4.4, I-4.8): query, form, multipart or JSON.

use super::json::{self, Members};
use super::refusal::FieldErrors;
use super::{PARAMETERS_MAX, Refusal, Request, multipart};
use percent_encoding::percent_decode;
use std::borrow::Cow;
use std::fmt;

/// All that a request brings along. What is in it never shows in `Debug`: secrets travel here.
#[derive(Clone)]
pub(super) struct Parameters<'a> {
    query: Pairs,
    form: Pairs,
    files: Pairs,
    json: &'a [u8],
}

type Pairs = Vec<(String, String)>;

impl<'a> Parameters<'a> {
    /// # Errors
    /// 400 if query, form or multipart body cannot be read. JSON is looked at later.
    pub(super) fn read(request: &Request<'a>) -> Result<Self, Refusal> {
        let mut parameters = Self { query: pairs(request.query.as_bytes())?, form: Pairs::new(), files: Pairs::new(), json: b"" };
        let content_type = request.content_type.unwrap_or_default();
        let (kind, rest) = content_type.split_once(';').unwrap_or((content_type, ""));
        match kind.trim().to_ascii_lowercase().as_str() {
            "" | "application/json" => parameters.json = request.body,
            "application/x-www-form-urlencoded" => parameters.form = pairs(request.body)?,
            "multipart/form-data" => {
                for part in multipart::parts(rest, request.body)? {
                    let pairs = if part.is_file { &mut parameters.files } else { &mut parameters.form };
                    pairs.push((part.name, part.value));
                }
            }
            _ => {}
        }
        Ok(parameters)
    }

    /// The session's token: of cookie, form, query and header the last that has one (I-4.4).
    pub(super) fn session_token(&self, cookie: Option<&str>, header: Option<&str>) -> Option<String> {
        let query = || ["sid", "session_id", "_sid"].iter().find_map(|name| given(&self.query, name));
        let header = header.map(str::trim).filter(|token| !token.is_empty());
        let token = header.or_else(query).or_else(|| given(&self.form, "sid")).or_else(|| cookie.and_then(cookie_token));
        token.map(str::to_owned)
    }

    /// A parameter that no record has: from the query, else from a form. An empty one is as good as none.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        given(&self.query, name).or_else(|| given(&self.form, name))
    }

    /// The same as a yes or no; `default` if it is not given.
    pub(super) fn flag(&self, name: &str, default: bool) -> bool {
        self.field(name).map_or(default, is_true)
    }

    /// The same as an integer, however large.
    ///
    /// # Errors
    /// 400 if it is none.
    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.field(name).map(str::trim) else { return Ok(None) };
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Refusal::wrong_type(name, "int"));
        }
        let beyond = if text.starts_with('-') { i64::MIN } else { i64::MAX };
        Ok(Some(text.parse().unwrap_or(beyond)))
    }

    /// The body as JSON and nothing else.
    ///
    /// # Errors
    /// 400 if it is nested too deep.
    pub(super) fn json(&self) -> Result<Members<'a>, Refusal> {
        Members::read(self.json)
    }

    /// The fields of a record: from the query, else the form, else files, else JSON.
    ///
    /// # Errors
    /// As [`Self::json`].
    pub(super) fn record(&self) -> Result<Record<'_>, Refusal> {
        Ok(Record { pairs: vec![&self.query, &self.form, &self.files], json: self.json()?, errors: FieldErrors::new() })
    }

    /// The fields of a record from JSON alone.
    ///
    /// # Errors
    /// As [`Self::json`].
    pub(super) fn json_record(&self) -> Result<Record<'_>, Refusal> {
        Ok(Record { pairs: Vec::new(), json: self.json()?, errors: FieldErrors::new() })
    }
}

impl fmt::Debug for Parameters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parameters(…)")
    }
}

/// The fields of a record in the order in which their sources count, and what is wrong with them so far.
pub(super) struct Record<'p> {
    pairs: Vec<&'p Pairs>,
    json: Members<'p>,
    errors: FieldErrors,
}

impl Record<'_> {
    /// The text of a field: `None` if it is not given, or null.
    ///
    /// # Errors
    /// 400 if it is neither string nor number.
    pub(super) fn text(&self, name: &str) -> Result<Option<Cow<'_, str>>, Refusal> {
        if let Some(value) = self.pair(name) {
            return Ok(Some(Cow::Borrowed(value)));
        }
        self.json.value(name).map_or(Ok(None), |value| json::scalar(name, value))
    }

    /// The same for a field that must be there; what is wrong with it is kept for [`Self::check`].
    pub(super) fn required(&mut self, name: &'static str) -> Result<String, Refusal> {
        let text = self.text(name)?.map(Cow::into_owned);
        let wrong = match &text {
            None => "value is not set",
            Some(text) if text.is_empty() => "value is empty",
            Some(_) => return Ok(text.unwrap_or_default()),
        };
        self.errors.entry(name).or_default().push(wrong);
        Ok(String::new())
    }

    /// Whether the field is given at all, be it as null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.pair(name).is_some() || self.json.value(name).is_some()
    }

    /// The field as a yes or no, if it is given.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.pair(name).map(is_true).or_else(|| {
            let value = self.json.value(name)?;
            Some(!json::is_falsy(value) && value.get() != "\"0\"" && !value.get().eq_ignore_ascii_case("\"false\""))
        })
    }

    /// Ends the reading of fields that must be there.
    ///
    /// # Errors
    /// 400 with what is wrong with each.
    pub(super) fn check(&mut self) -> Result<(), Refusal> {
        if self.errors.is_empty() { Ok(()) } else { Err(Refusal::invalid(std::mem::take(&mut self.errors))) }
    }

    fn pair(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find_map(|pairs| first(pairs, name))
    }
}

fn first<'p>(pairs: &'p Pairs, name: &str) -> Option<&'p str> {
    pairs.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}

fn given<'p>(pairs: &'p Pairs, name: &str) -> Option<&'p str> {
    first(pairs, name).filter(|value| !value.is_empty())
}

fn is_true(text: &str) -> bool {
    !matches!(text, "" | "0" | "false" | "False")
}

/// The pairs of a query or a form: `+` is a space, escapes stand for bytes.
fn pairs(text: &[u8]) -> Result<Pairs, Refusal> {
    let mut pairs = Pairs::new();
    for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        if pairs.len() == PARAMETERS_MAX {
            return Err(Refusal::bad(format!("There are more than {PARAMETERS_MAX} parameters; send fewer")));
        }
        let middle = memchr::memchr(b'=', pair).unwrap_or(pair.len());
        pairs.push((unescape(&pair[..middle])?, unescape(pair.get(middle + 1..).unwrap_or_default())?));
    }
    Ok(pairs)
}

fn unescape(text: &[u8]) -> Result<String, Refusal> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    String::from_utf8(percent_decode(&spaced).collect()).map_err(|_| Refusal::bad("What is escaped in the parameters must be UTF-8"))
}

/// The cookie `sid`.
fn cookie_token(header: &str) -> Option<&str> {
    let value = header.split(';').find_map(|cookie| cookie.trim().strip_prefix("sid="))?;
    Some(value.trim().trim_matches('"')).filter(|token| !token.is_empty())
}
