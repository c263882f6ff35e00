//! A browser without a screen: it keeps cookies, follows the way after a form, and fills in the secret of a page's forms.

use std::collections::BTreeMap;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An answer, and where it came from.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl Page {
    /// The first hidden field of this name: what its forms send besides.
    pub(crate) fn hidden(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.body.split_once(&format!("name=\"{name}\" value=\""))?;
        rest.split('"').next()
    }

    fn header(&self, name: &str) -> impl Iterator<Item = &str> {
        let lines = self.headers.lines().filter_map(|line| line.split_once(": "));
        lines.filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

pub(crate) struct Browser {
    port: u16,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    /// Nobody yet.
    pub(crate) fn new(port: u16) -> Self {
        Self { port, cookies: BTreeMap::new() }
    }

    /// Somebody who has logged in.
    pub(crate) async fn logged_in(port: u16, token: &str, name: &str) -> Self {
        let mut browser = Self::new(port);
        let page = browser.send("POST", "/login", &[("token", token), ("name", name)]).await;
        assert_eq!(page.status, 303, "{page:?}");
        browser
    }

    pub(crate) async fn get(&mut self, path: &str) -> Page {
        self.send("GET", path, &[]).await
    }

    /// Sends a form of a page, as it stands there, with these fields besides; the page that it leads to.
    pub(crate) async fn submit(&mut self, on: &str, path: &str, fields: &[(&str, &str)]) -> Page {
        let page = self.get(on).await;
        self.submit_as_seen(&page, path, fields).await
    }

    /// The same, of a page that was looked at before.
    pub(crate) async fn submit_as_seen(
        &mut self,
        page: &Page,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Page {
        assert!(
            page.body.contains(&format!("action=\"{path}\"")),
            "there is no form for {path}: {page:?}"
        );
        let hidden = ["csrf", "seen"].map(|name| page.hidden(name).map(|value| (name, value)));
        let fields: Vec<_> = fields.iter().copied().chain(hidden.into_iter().flatten()).collect();
        let answer = self.send("POST", path, &fields).await;
        let way =
            answer.header("location").next().map(|way| way.split('#').next().unwrap().to_owned());
        match way {
            Some(way) => self.get(&way).await,
            None => answer,
        }
    }

    async fn send(&mut self, method: &str, path: &str, fields: &[(&str, &str)]) -> Page {
        let form: Vec<_> = fields.iter().map(|(n, v)| format!("{n}={}", encoded(v))).collect();
        let form = form.join("&");
        let cookies: Vec<_> = self.cookies.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nCookie: {}\r\n\
             Origin: http://127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            cookies.join("; "),
            form.len()
        );
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (headers, body) = answer.split_once("\r\n\r\n").unwrap();
        let page = Page {
            status: headers.split(' ').nth(1).unwrap().parse().unwrap(),
            headers: headers.to_owned(),
            body: body.to_owned(),
        };
        for cookie in page.header("set-cookie") {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        page
    }
}

fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
