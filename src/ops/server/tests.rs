//! The endpoints over real connections, without database and broker.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::broker::Broker;
use crate::ops::server::gate::Role;
use crate::ops::server::routes::Kind;

const TOKEN: &str = "a-token-of-some-length";
const READ_TOKEN: &str = "another-token-to-read-with";

fn tokens() -> Tokens {
    Tokens { operator: TOKEN.into(), reader: Some(READ_TOKEN.into()), user_header: None }
}

fn nowhere() -> Store {
    Store::new(&"postgres://nobody@127.0.0.1:1/none".into(), "test").unwrap()
}

/// Database and broker are not there: whatever needs them fails at once.
fn desk(tokens: Option<Tokens>) -> Desk {
    rustls::crypto::ring::default_provider().install_default().ok();
    let broker = Broker::new("amqp://127.0.0.1:1".into(), "test".to_owned());
    Desk {
        store: nowhere(),
        publisher: Arc::new(Publisher::new(broker, "test")),
        enabled: vec![Target::TagServer],
        sweep: crate::ops::status::tests::sweep(),
        patience: Patience { disable_after: Duration::from_secs(60) },
        gate: tokens.map(|tokens| Arc::new(Gate::new(tokens))),
        questions: Semaphore::new(1),
    }
}

/// What is served, and where.
async fn serving(tokens: Option<Tokens>) -> (SocketAddr, Vec<Route>) {
    let (router, routes) = open(desk(tokens), Actions::new(nowhere()));
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, guarded(router)).await });
    (address, routes)
}

async fn listening(token: Option<&str>) -> SocketAddr {
    let tokens = token.map(|token| Tokens { operator: token.into(), ..tokens() });
    serving(tokens).await.0
}

/// Status code and whole answer, headers in lower case.
async fn get_from(address: SocketAddr, path: &str, authorization: Option<&str>) -> (u16, String) {
    let credentials = authorization.map(|value| format!("Authorization: {value}"));
    let (code, answer) = send(address, "GET", path, credentials.as_slice(), "").await;
    (code, answer.to_lowercase())
}

/// Status code and whole answer.
async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[String],
    form: &str,
) -> (u16, String) {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let code = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (code, answer)
}

#[tokio::test]
async fn a_process_is_alive_without_database_and_broker() {
    let address = listening(None).await;
    let (code, answer) = get_from(address, "/livez", None).await;
    assert_eq!(code, 200);
    for header in
        ["cache-control: no-store", "x-content-type-options: nosniff", "x-frame-options: deny"]
    {
        assert!(answer.contains(header), "{answer}");
    }
    let (code, answer) = get_from(address, "/elsewhere", None).await;
    assert_eq!(code, 404);
    assert!(answer.contains("content-security-policy: default-src 'none'"), "{answer}");
}

#[tokio::test]
async fn there_is_no_api_without_a_configured_token() {
    let address = listening(None).await;
    for path in ["/api/v1/status", "/api/v1/explain/person/5", "/", "/login", "/dead-letters"] {
        assert_eq!(get_from(address, path, Some("Bearer ")).await.0, 404, "{path}");
        assert_eq!(get_from(address, path, None).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn the_api_opens_for_the_token_and_for_nothing_else() {
    let address = listening(Some(TOKEN)).await;
    for path in ["/api/v1/status", "/api/v1/explain/person/5"] {
        for wrong in
            [None, Some("Bearer"), Some("Bearer wrong"), Some("Basic a-token-of-some-length")]
        {
            let (code, answer) = get_from(address, path, wrong).await;
            assert_eq!(code, 401, "{path} {wrong:?}");
            assert!(answer.contains("www-authenticate: bearer"), "{answer}");
        }
        let right = format!("Bearer {TOKEN}");
        let (code, answer) = get_from(address, path, Some(&right)).await;
        assert_eq!(code, 503, "it is let in, and the database is not there");
        assert!(!answer.contains("127.0.0.1:1") && !answer.contains("nobody"), "{answer}");
    }
}

#[tokio::test]
async fn what_is_no_entity_is_told_so() {
    let address = listening(Some(TOKEN)).await;
    let right = format!("bearer {TOKEN}");
    for path in ["/api/v1/explain/runner/5", "/api/v1/explain/person/five"] {
        assert_eq!(get_from(address, path, Some(&right)).await.0, 400, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hangs_is_given_up() {
    let routes =
        Router::new().route("/hang", axum::routing::get(std::future::pending::<&'static str>));
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, guarded(routes)).await });
    assert_eq!(get_from(address, "/hang", None).await.0, 503);
}

/// What takes long goes on, whether the person waits or has gone, and the page says so.
#[tokio::test(start_paused = true)]
async fn an_action_that_takes_long_runs_to_its_end() {
    let (begun, done) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (begins, ends) = (Arc::clone(&begun), Arc::clone(&done));
    let action = move || async move {
        begins.add_permits(1);
        tokio::time::sleep(REQUEST_TIMEOUT * 6).await;
        ends.add_permits(1);
        "done"
    };
    let actions = Actions::new(nowhere());
    let routes = Routes::new(Some(Arc::new(Gate::new(tokens()))), actions.clone());
    let (router, _) = routes.post(Access::From(Role::Operator), "/slow", action).done(());
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, guarded(router)).await });
    let (credential, csrf) = credentials(Role::Operator).remove(0);
    let form = format!("csrf={csrf}");
    let (code, answer) =
        send(address, "POST", "/slow", std::slice::from_ref(&credential), &form).await;
    assert_eq!(code, 202, "{answer}");
    assert!(answer.contains("It was not broken off"), "{answer}");
    begun.acquire().await.unwrap().forget();
    let leaves =
        tokio::spawn(async move { send(address, "POST", "/slow", &[credential], &form).await });
    begun.acquire().await.unwrap().forget();
    leaves.abort();
    actions.end(REQUEST_TIMEOUT * 7).await;
    assert_eq!(done.available_permits(), 2);
}

/// A target is paused in an emergency, which may be why everything else takes long.
#[tokio::test]
async fn orders_to_targets_and_other_actions_have_places_of_their_own() {
    for taken in [Kind::Action, Kind::Order] {
        let actions = Actions::new(nowhere());
        let slots = actions.slots(taken);
        let all = u32::try_from(slots.available_permits()).unwrap();
        let _taken = slots.acquire_many(all).await.unwrap();
        let (router, routes) = open(desk(Some(tokens())), actions);
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, guarded(router)).await });
        let (credential, csrf) = credentials(Role::Operator).remove(0);
        let acts =
            |route: &&Route| route.method == "POST" && route.access == Access::From(Role::Operator);
        for route in routes.iter().filter(acts) {
            let form = format!("csrf={csrf}&order=pause");
            let headers = std::slice::from_ref(&credential);
            let (_, answer) = send(address, "POST", &path_of(route), headers, &form).await;
            let has_a_place = !answer.contains("too many actions are under way");
            let is_order = route.path == "/targets/{target}/orders";
            assert_eq!(has_a_place, is_order != (taken == Kind::Order), "{route:?}: {answer}");
            if is_order && has_a_place {
                assert!(answer.contains("the database does not answer"), "it was tried: {answer}");
            }
        }
    }
}

#[tokio::test]
async fn what_no_page_knows_is_told_so_and_is_never_taken_for_all() {
    let (address, _) = serving(Some(tokens())).await;
    let token = format!("Bearer {TOKEN}");
    for path in [
        "/?watch=1&wach=1",
        "/dead-letters?target=mautik",
        "/dead-letters?entity=runner",
        "/dead-letters?reason=refused",
        "/dead-letters?traget=mautic",
        "/dead-letters?after=x",
        "/dead-letters?error=%00",
        "/conflicts?target=mautik",
        "/conflicts?targets=mautic",
        "/api/v1/dead-letters?target=mautik",
        "/api/v1/dead-letters?entity=runner",
        "/api/v1/dead-letters?reason=refused",
        "/api/v1/dead-letters?error=a%00b",
        "/api/v1/dead-letters?limit=1",
        "/api/v1/conflicts?target=mautik",
        "/api/v1/conflicts?id=7&entity=runner",
        "/api/v1/conflicts?closed=true",
    ] {
        let (code, answer) = get_from(address, path, Some(&token)).await;
        assert_eq!(code, 400, "{path}: {answer}");
    }
    for path in [
        "/dead-letters?target=&entity=&reason=&error=",
        "/dead-letters?target=mautic&entity=person&reason=rejected&error=a&after=3",
        "/conflicts?target=chatwoot",
        "/api/v1/dead-letters?target=mautic&reason=undecodable",
        "/api/v1/conflicts?target=chatwoot&entity=person&id=7",
    ] {
        let (code, answer) = get_from(address, path, Some(&token)).await;
        assert_eq!(code, 503, "{path} is understood, and the database is not there: {answer}");
    }
    let (credential, csrf) = credentials(Role::Operator).remove(0);
    for form in ["what=a%00%40b.c", "what=mautic%3A%00"] {
        let form = format!("csrf={csrf}&{form}");
        let (code, answer) =
            send(address, "POST", "/search", std::slice::from_ref(&credential), &form).await;
        assert_eq!(code, 400, "{form}: {answer}");
    }
}

/// An address of a route.
fn path_of(route: &Route) -> String {
    let names =
        [("{target}", "tagserver"), ("{number}", "1"), ("{entity}", "person"), ("{id}", "1")];
    names.iter().fold(route.path.to_owned(), |path, (name, value)| path.replace(name, value))
}

/// Headers with which a role comes, and the secret of its forms: once by token, once by login.
fn credentials(role: Role) -> Vec<(String, String)> {
    let gate = Gate::new(tokens());
    let token = if role == Role::Operator { TOKEN } else { READ_TOKEN };
    let login = gate.log_in(role, "Somebody", jiff::Timestamp::now(), false);
    let login = login.split(';').next().unwrap();
    [("authorization", format!("Bearer {token}")), ("cookie", login.to_owned())]
        .into_iter()
        .map(|(name, value)| {
            let mut headers = axum::http::HeaderMap::new();
            headers.insert(name, HeaderValue::from_str(&value).unwrap());
            let visitor = gate.visitor(&headers, jiff::Timestamp::now()).unwrap();
            assert_eq!(visitor.role, role);
            (format!("{name}: {value}"), visitor.csrf)
        })
        .collect()
}

#[test]
fn only_these_routes_are_open_to_everybody_and_only_operators_change_anything() {
    let (_, routes) = open(desk(Some(tokens())), Actions::new(nowhere()));
    let open: Vec<_> = routes.iter().filter(|route| route.access == Access::Anyone).collect();
    let open: Vec<_> =
        open.iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    assert_eq!(
        open,
        ["GET /livez", "GET /console.css", "GET /console.svg", "GET /login", "POST /login"]
    );
    for route in &routes {
        let reads = route.method == "GET" || ["/login", "/logout", "/search"].contains(&route.path);
        let is_operators = route.access == Access::From(Role::Operator);
        assert_eq!(is_operators, !reads, "{route:?}");
    }
    assert!(routes.iter().filter(|route| route.method == "POST").count() >= 8, "{routes:?}");
}

#[tokio::test]
async fn every_route_is_refused_to_whoever_may_not_use_it() {
    let (address, routes) = serving(Some(tokens())).await;
    let forged = [
        "cookie: ems_sync_login=operator.9999999999.x.eA.AAAA",
        "authorization: Bearer wrong",
        "x-forwarded-user: somebody",
    ];
    for route in &routes {
        let Access::From(least) = route.access else { continue };
        let (method, path) = (route.method.as_str(), path_of(route));
        for stranger in [&[][..], &forged.map(str::to_owned)[..1], &forged.map(str::to_owned)[1..]]
        {
            let (code, answer) = send(address, method, &path, stranger, "csrf=x").await;
            assert_eq!(code, 401, "{route:?} {stranger:?}");
            assert!(answer.to_lowercase().contains("www-authenticate: bearer"), "{answer}");
        }
        for role in [Role::Reader, Role::Operator] {
            for (credential, csrf) in credentials(role) {
                let form = format!("csrf={csrf}");
                let headers = [credential];
                let (code, answer) = send(address, method, &path, &headers, &form).await;
                if role < least {
                    assert_eq!(code, 403, "{route:?} {role:?}");
                } else {
                    assert!(![401, 403, 404, 405].contains(&code), "{route:?} {role:?}: {answer}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_form_of_another_site_or_of_an_earlier_login_changes_nothing() {
    let (address, routes) = serving(Some(tokens())).await;
    let others: Vec<_> = credentials(Role::Operator).into_iter().map(|(_, csrf)| csrf).collect();
    for route in routes.iter().filter(|route| route.method == "POST" && route.path != "/login") {
        let path = path_of(route);
        for (n, (credential, csrf)) in credentials(Role::Operator).into_iter().enumerate() {
            let right = format!("csrf={csrf}");
            // The secret of a token's form is always the same, that of a login is another one each time.
            let other = format!("csrf={}", others[1 - n]);
            let earlier = format!("csrf={}", others[1]);
            for (headers, form) in [
                (vec![], ""),
                (vec![], "csrf="),
                (vec![], other.as_str()),
                (vec![], earlier.as_str()),
                (vec!["Sec-Fetch-Site: cross-site"], right.as_str()),
                (vec!["Sec-Fetch-Site: same-site"], right.as_str()),
                (vec!["Origin: https://evil.example"], right.as_str()),
                (vec!["Origin: null"], right.as_str()),
            ] {
                let mut headers: Vec<_> = headers.into_iter().map(str::to_owned).collect();
                headers.push(credential.clone());
                let (code, _) = send(address, "POST", &path, &headers, form).await;
                assert_eq!(code, 403, "{path} {headers:?} {form}");
            }
            let ours = ["Origin: http://test".to_owned(), credential];
            let (code, _) = send(address, "POST", &path, &ours, &right).await;
            assert_ne!(code, 403, "{path}");
        }
    }
}

#[tokio::test]
async fn a_token_gets_a_login_and_nothing_else_does() {
    let (address, _) = serving(Some(tokens())).await;
    for wrong in ["", "token=", "token=wrong", "token=A-token-of-some-length&name=x"] {
        let (code, answer) = send(address, "POST", "/login", &[], wrong).await;
        assert_eq!(code, 401, "{wrong}");
        assert!(!answer.to_lowercase().contains("set-cookie"), "{answer}");
    }
    let right = format!("token={READ_TOKEN}&name=Thandi&next=//evil.example");
    let elsewhere = ["Origin: https://evil.example".to_owned()];
    assert_eq!(send(address, "POST", "/login", &elsewhere, &right).await.0, 403);
    let (code, answer) = send(address, "POST", "/login", &[], &right).await;
    assert_eq!(code, 303, "{answer}");
    let answer = answer.to_lowercase();
    assert!(answer.contains("location: /\r\n"), "{answer}");
    let (_, cookie) = answer.split_once("set-cookie: ").unwrap();
    let cookie = cookie.lines().next().unwrap();
    assert!(cookie.contains("; httponly; samesite=strict"), "{cookie}");
    assert!(!answer.contains(READ_TOKEN), "the token does not come back");
    assert!(cookie.contains("; max-age=57600;") && !cookie.contains("secure"), "{cookie}");
    // Where a proxy says that the browser came by HTTPS, the cookie goes back by nothing else.
    let proxied = ["X-Forwarded-Proto: https".to_owned()];
    let (_, answer) = send(address, "POST", "/login", &proxied, &right).await;
    let answer = answer.to_lowercase();
    let cookie = answer.lines().find(|line| line.starts_with("set-cookie: ")).unwrap();
    assert!(cookie.ends_with("; secure"), "{cookie}");
}

#[tokio::test]
async fn a_login_leads_on_to_the_page_that_was_asked_for() {
    let (address, _) = serving(Some(tokens())).await;
    let asked = "/dead-letters?target=mautic&error=a%20b";
    let (code, page) = send(address, "GET", asked, &[], "").await;
    assert_eq!(code, 401);
    let (_, next) = page.split_once("name=\"next\" value=\"").unwrap();
    let next = next.split('"').next().unwrap().replace("&amp;", "&");
    assert_eq!(next, asked);
    let form = format!("token={TOKEN}&next={}", next.replace('%', "%25").replace('&', "%26"));
    // A wrong token first: the page is not forgotten.
    let wrong = form.replace(TOKEN, "wrong");
    let (_, page) = send(address, "POST", "/login", &[], &wrong).await;
    assert!(page.contains("value=\"/dead-letters?target=mautic&amp;error=a%20b\""), "{page}");
    let (code, answer) = send(address, "POST", "/login", &[], &form).await;
    assert_eq!(code, 303, "{answer}");
    let location = format!("location: {asked}\r\n");
    assert!(answer.to_lowercase().contains(&location), "{answer}");
}

#[tokio::test]
async fn a_page_may_run_nothing() {
    let (address, _) = serving(Some(tokens())).await;
    let token = format!("Bearer {TOKEN}");
    for (path, authorization) in [("/login", None), ("/", None), ("/", Some(token.as_str()))] {
        let (_, answer) = get_from(address, path, authorization).await;
        let policy =
            answer.lines().find(|line| line.starts_with("content-security-policy:")).unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert!(!policy.contains("script-src"), "{policy}");
        assert!(!answer.contains("<script") && !answer.contains(" style="), "{answer}");
        assert!(!answer.contains("127.0.0.1:1"), "{answer}");
    }
    assert_eq!(get_from(address, "/console.css", None).await.0, 200);
    assert_eq!(get_from(address, "/console.svg", None).await.0, 200);
}

/// What a browser keeps back at first: a link in a message leads to the page all the same.
#[tokio::test]
async fn a_link_on_another_site_is_asked_for_again_by_our_own_page() {
    let (address, _) = serving(Some(tokens())).await;
    let headers = ["Sec-Fetch-Site: cross-site".to_owned()];
    let (code, answer) = send(address, "GET", "/dead-letters", &headers, "").await;
    assert_eq!(code, 401);
    assert!(answer.to_lowercase().contains("\r\nrefresh: 0\r\n"), "{answer}");
}
