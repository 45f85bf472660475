//! What every network camera's table has: its address, and who asks.

use crate::config::Section;
use crate::mqtt::Secret;
use crate::supervisor::Failure;

/// A user, and what only that user knows.
#[derive(Debug)]
pub(super) struct Login {
    user: Option<String>,
    password: Option<Secret>,
}

impl Login {
    /// Reads `user` and `password_file`.
    pub(super) fn read(section: &Section<'_>) -> Self {
        let (user, password) = (section.text("user"), Secret::read(section, "password_file"));
        if password.is_some() && user.is_none() {
            section.mistake("password_file", "needs a `user`");
        }
        Self { user, password }
    }

    /// User and password, as its file has it now.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn now(&self) -> Result<Option<(String, String)>, Failure> {
        let Some(user) = &self.user else { return Ok(None) };
        let password = self.password.as_ref().map(Secret::line).transpose()?;
        Ok(Some((user.clone(), password.unwrap_or_default())))
    }
}

/// Reads `url`; `mistake` says what is wrong with one, if anything is.
pub(super) fn read_url(section: &Section<'_>, mistake: fn(&str) -> Option<String>) -> String {
    let url = section.required_text("url");
    if let Some(mistake) = (!url.is_empty()).then(|| mistake(&url)).flatten() {
        section.mistake("url", mistake);
    }
    url
}
