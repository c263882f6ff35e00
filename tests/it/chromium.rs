//! The console in a real browser: nothing that a remote says runs, no page has a script, and pictures of it at the sizes of a desk
//! and a phone, light and dark, for people to look at (`target/console/`). Skipped where there is no Chromium.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use ems_sync::process::Role;

use crate::console::{TOKEN, dead_letters, served, with_console};
use crate::support::campaign::scaled;
use crate::support::rig::{PATIENCE, Rig};

/// Marks the page if it runs, by a script or by an image that is not there.
const CANARY: &str = r#""><script>document.documentElement.dataset.owned=1</script><img src=x onerror="document.documentElement.dataset.owned=1">"#;
/// The page that proves that a script would run.
const CONTROL: &str = "/control";
/// What a page that was marked shows.
const OWNED: &str = "data-owned";

/// Chromium, where it is installed and runs: what some distributions install by its name only says where to get it.
fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path).flat_map(|at| names.map(|name| at.join(name))).find(|at| {
        let mut version = std::process::Command::new(at);
        version.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        at.is_file() && version.status().is_ok_and(|status| status.success())
    })
}

/// What stands before the console as a proxy does that has asked who somebody is: it adds their token. And it serves the page
/// whose canary nothing keeps from running.
async fn proxied(console: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((browser, _)) = listener.accept().await {
            tokio::spawn(async move { pass(browser, console).await.ok() });
        }
    });
    port
}

/// One request and its answer.
async fn pass(mut browser: TcpStream, console: u16) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = browser.read(&mut piece).await?;
        if read == 0 {
            return Ok(());
        }
        request.extend_from_slice(&piece[..read]);
    }
    let request = String::from_utf8_lossy(&request);
    let path = request.split(' ').nth(1).unwrap_or("/").to_owned();
    if path == CONTROL {
        let page = format!("<!doctype html><title>c</title><p>{CANARY}</p>");
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            page.len()
        );
        return browser.write_all(format!("{head}{page}").as_bytes()).await;
    }
    let mut server = TcpStream::connect(("127.0.0.1", console)).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\nX-Forwarded-User: Thandi\r\n\r\n"
    );
    server.write_all(request.as_bytes()).await?;
    tokio::io::copy(&mut server, &mut browser).await?;
    Ok(())
}

struct Chromium {
    program: PathBuf,
    port: u16,
    home: PathBuf,
}

impl Drop for Chromium {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.home).ok();
    }
}

impl Chromium {
    async fn before(program: PathBuf, console: u16) -> Self {
        let home = std::env::temp_dir().join(format!("chromium-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&home).unwrap();
        Self { program, port: proxied(console).await, home }
    }

    /// Opens a page; what Chromium prints.
    async fn open(&self, path: &str, flags: &[&str]) -> String {
        let mut command = Command::new(&self.program);
        command
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--no-first-run",
                "--no-proxy-server",
                "--hide-scrollbars",
                "--virtual-time-budget=3000",
            ])
            .arg(format!("--user-data-dir={}", self.home.display()))
            .args(flags)
            .arg(format!("http://127.0.0.1:{}{path}", self.port));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("ends").unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{path}: {errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The document of a page after its scripts had their chance.
    async fn document(&self, path: &str) -> String {
        let document = self.open(path, &["--dump-dom"]).await;
        assert!(document.contains("</html>"), "{path}: {document}");
        document
    }
}

/// A system with something on each page of the console, at rest.
async fn with_content(said: &str) -> (Rig, u16) {
    let (mut rig, port) = with_console().await;
    rig.set("OPS__USER_HEADER", "X-Forwarded-User");
    let running = rig.start(&[Role::Relay, Role::Consume]);
    dead_letters(&rig, 4).await;
    rig.exec(
        "insert into ems.organisation (name) values ('Comrades Club');
         insert into ems.person (first_name, last_name, date_of_birth) select 'Held', n::text, '1987-06-05' from generate_series(1, 6) n",
    )
    .await;
    rig.until("select 7 - count(*) from sync.record where state = 'synced'", "pushed").await;
    running.stop().await;
    let said = said.replace('\'', "''");
    rig.exec(&format!(
        "update sync.dead_letter set error = '{said}';
         update sync.record set last_error = '{said}' where state = 'rejected';
         update sync.attempt set error = '{said}' where error is not null;
         update sync.record set state = 'held', state_reason = 'guard', gone = entity_id % 2 = 0, lessens = entity_id % 2 = 1, due_on = 'infinity',
             owed_gen = owed_gen + 1, owed_on = now() - interval '5 minutes' where state = 'synced' and entity_type = 'person';
         update ems.person set date_of_birth = null where first_name = 'Held';
         delete from sync.outbox;
         insert into sync.conflict (target, entity_type, entity_id, remote_id, reason, fields)
             select 'chatwoot', 'person', n, '{said}' || n, 'unpushed',
                    jsonb_build_array(jsonb_build_object('field', 'city', 'ems_value', 'Soweto', 'remote_value', '{said}'),
                                      jsonb_build_object('field', 'phone', 'ems_value', '+27821234567', 'remote_value', '+27827654321'))
             from generate_series(1, 3) n;
         insert into sync.inbox (target, entity_type, remote_id, shape, requested_on, state, state_reason, last_error)
             select 'runsignup', 'event_participant', '{said}' || n, 'unreadable', now(), 'rejected', 'unreadable', '{said}'
             from generate_series(1, 2) n;
         update sync.target set disabled_on = now() - interval '2 hours', disabled_reason = 'configuration: {said}' where target = 'tagserver';
         insert into sync.target_event (target, version, event, reason, by) values ('tagserver', 9, 'disable', '{said}', 'breaker')"
    ))
    .await;
    (rig, port)
}

/// The pages, each with whether it shows what was said.
async fn pages(rig: &Rig) -> Vec<(&'static str, String, bool)> {
    let letter = rig.count("select min(dead_letter_id) from sync.dead_letter").await;
    let person = rig.count("select min(entity_id) from sync.dead_letter").await;
    let conflict = rig.count("select min(conflict_id) from sync.conflict").await;
    vec![
        ("overview", "/".to_owned(), true),
        ("dead-letters", "/dead-letters".to_owned(), true),
        ("dead-letter", format!("/dead-letters/{letter}"), true),
        ("holds", "/holds".to_owned(), false),
        ("conflicts", "/conflicts".to_owned(), true),
        ("conflict", format!("/conflicts/{conflict}"), true),
        ("explain", format!("/explain/person/{person}"), true),
        ("log", "/audit".to_owned(), true),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_real_browser_nothing_that_was_said_runs_and_pages_need_no_script() {
    let Some(program) = chromium() else {
        eprintln!("skipped: Chromium is not installed (Debian: apt-get install chromium)");
        return;
    };
    let (rig, port) = with_content(CANARY).await;
    let running = served(&rig, port).await;
    let chromium = Chromium::before(program, port).await;
    let control = chromium.document(CONTROL).await;
    assert!(control.contains(OWNED), "it would be seen: {control}");
    for (name, path, shows) in pages(&rig).await {
        let page = chromium.document(&path).await;
        assert!(!page.contains(OWNED), "{name}: {page}");
        for element in ["<script", "<img"] {
            assert!(!page.contains(element), "{name} has {element}: {page}");
        }
        assert!(!shows || page.contains("&lt;script&gt;document"), "{name}: {page}");
        assert!(
            page.contains("Thandi") && page.contains("aria-label=\"Console\""),
            "{name}: {page}"
        );
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_of_the_console_are_taken() {
    let Some(program) = chromium() else {
        eprintln!("skipped: Chromium is not installed (Debian: apt-get install chromium)");
        return;
    };
    let (rig, port) = with_content("HTTP 400: error.validation (lastName)").await;
    let running = served(&rig, port).await;
    let chromium = Chromium::before(program, port).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/console");
    std::fs::create_dir_all(&folder).unwrap();
    // All pages in a campaign, the first one always.
    let pages = pages(&rig).await;
    for (name, path, _) in pages.into_iter().take(scaled(1, 8)) {
        let mut sizes = Vec::new();
        for (width, size) in [("desk", "1280,900"), ("phone", "390,1400")] {
            for (theme, setting) in [("light", "1"), ("dark", "0")] {
                let file = folder.join(format!("{name}-{width}-{theme}.png"));
                std::fs::remove_file(&file).ok();
                let screenshot = format!("--screenshot={}", file.display());
                let size = format!("--window-size={size}");
                let theme = format!("--blink-settings=preferredColorScheme={setting}");
                chromium.open(&path, &[&screenshot, &size, &theme]).await;
                let picture = std::fs::read(&file).unwrap();
                assert!(picture.starts_with(b"\x89PNG") && picture.len() > 10_000, "{file:?}");
                sizes.push(picture);
            }
        }
        assert_ne!(sizes[0], sizes[1], "{name}: light is not dark");
    }
    running.stop().await;
}
