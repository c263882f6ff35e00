//! Section 1: formats, keys, tokens, the caller's registration.

use ems_sync_remotes::runsignup::{CallerRegistration, Resource};
use serde_json::json;

use super::{Rsu, TEN_KM, code, codes, read, start, start_with};

const PARTICIPANTS: &str = "race/7/participants?event_id=71&supports_nb=T";

#[tokio::test]
async fn without_format_json_the_answer_is_xml() {
    let (sim, rsu) = start().await;
    let answer = read(rsu.bare(false, "race/7")).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("application/xml"), "{}", answer.text);
    assert!(answer.text.contains("<race_id>7</race_id>"), "{}", answer.text);
    let answer = read(rsu.bare(false, "race/7?format=csv")).await;
    assert!(answer.text.contains("<error_code>10</error_code>"), "{}", answer.text);
    assert_eq!(codes(&sim), ["no_format_json", "no_format_json"]);
}

#[tokio::test]
async fn paths_are_in_any_case() {
    let (sim, rsu) = start().await;
    let url = format!("{}/REST/Race/7?format=json", rsu.base);
    assert_eq!(read(rsu.http.get(url)).await.json()["race"]["race_id"], 7);
    let outside = read(rsu.http.get(format!("{}/elsewhere", rsu.base))).await;
    assert_eq!(outside.status, 404);
    assert!(outside.text.contains("nginx"), "{}", outside.text);
    assert_eq!(code(&rsu.get("races/elsewhere").await), 1);
    let method = read(rsu.request(true, "races")).await;
    assert_eq!(code(&method.json()), 2);
    assert_eq!(codes(&sim), ["unknown_path", "unknown_path", "method_not_allowed"]);
}

#[tokio::test]
async fn errors_come_inside_http_200() {
    let (_sim, rsu) = start().await;
    let path = format!("{PARTICIPANTS}&format=json");
    let nobody = read(rsu.bare(false, &path)).await;
    assert_eq!((nobody.status.as_u16(), code(&nobody.json())), (200, 7));
    let wrong = rsu.bare(false, &format!("{path}&rsu_api_key=ems-sync-key"));
    let wrong = read(wrong.header("X-RSU-API-SECRET", "wrong")).await;
    assert_eq!((wrong.status.as_u16(), code(&wrong.json())), (200, 6));
    assert_eq!(wrong.json()["error"]["error_msg"], "Key authentication failed");
    let bearer = read(rsu.bare(false, &path).bearer_auth("wrong")).await;
    assert_eq!((bearer.status.as_u16(), code(&bearer.json())), (200, 6));
    let right = read(rsu.request(false, PARTICIPANTS)).await;
    assert!(right.json().is_array(), "a success is an array");
}

#[tokio::test]
async fn an_old_key_works_but_its_secret_is_in_the_url() {
    let (sim, rsu) = start().await;
    let path =
        format!("{PARTICIPANTS}&format=json&api_key=ems-sync-key&api_secret=ems-sync-secret");
    assert!(read(rsu.bare(false, &path)).await.json().is_array());
    assert_eq!(codes(&sim), ["secret_in_url"]);
    assert!(!sim.journal()[0].path.contains("secret"));
}

#[tokio::test]
async fn tokens_have_scopes_and_can_be_refreshed() {
    let (sim, rsu) = start().await;
    let path = format!("{PARTICIPANTS}&format=json");
    let reader = sim.issue_token(false);
    assert!(read(rsu.bare(false, &path).bearer_auth(&reader)).await.json().is_array());
    let settings = rsu.bare(true, "race/7/sync-settings?format=json").bearer_auth(&reader);
    let settings = read(settings.form(&[("safe_sync_enabled", "T")])).await;
    assert_eq!(code(&settings.json()), 7, "a token to read does not write");
    sim.configure(|settings| settings.clock_offset_seconds = 31 * 24 * 3600);
    let old = read(rsu.bare(false, &path).bearer_auth(&reader)).await;
    assert_eq!(code(&old.json()), 6, "it lives for a month");
    let refresh = sim.issue_refresh_token(true);
    let url = "v2/auth/refresh-token.json";
    let form = [("client_id", "ems-sync"), ("refresh_token", refresh.as_str())];
    let new = read(rsu.bare(true, url).form(&form)).await.json();
    let new = new["access_token"].as_str().unwrap().to_owned();
    assert!(read(rsu.bare(false, &path).bearer_auth(new)).await.json().is_array());
    let answer = read(rsu.bare(true, url).form(&[("client_id", "another")])).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (401, &json!("invalid_client")));
    let answer = read(rsu.bare(true, url).form(&[("client_id", "ems-sync")])).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]), (400, &json!("invalid_grant")));
    assert_eq!(codes(&sim), [""; 0]);
}

#[tokio::test]
async fn a_key_is_nobody() {
    let (sim, rsu) = start().await;
    assert_eq!(code(&rsu.get("user/1").await), 13);
    let user = sim.plant(Resource::User, json!({ "first_name": "Ada" })).unwrap();
    let path = format!("user/{}?format=json", user["id"]);
    let answer = read(rsu.bare(false, &path).bearer_auth(sim.issue_token(false))).await;
    assert_eq!(answer.json()["user"]["first_name"], "Ada");
}

#[tokio::test]
async fn a_wrong_registration_of_the_caller_fails_every_call() {
    let (sim, rsu) = start().await;
    let with = |rsu: &Rsu, registration: &str, secret: &str| {
        rsu.request(false, &format!("{PARTICIPANTS}&rsu_api_reg={registration}"))
            .header("X-RSU-API-REG-SECRET", secret)
    };
    let right = read(with(&rsu, "17.ems-sync-caller", "ems-sync-caller-secret")).await;
    assert!(right.json().is_array());
    let wrong = read(with(&rsu, "17.ems-sync-caller", "wrong")).await;
    assert_eq!((wrong.status.as_u16(), code(&wrong.json())), (400, 17));
    assert_eq!(wrong.json()["error"]["error_msg"], "Invalid API caller credentials.");
    assert_eq!(codes(&sim), [""; 0], "a wrong secret is the operator's");
    let half = read(rsu.request(false, &format!("{PARTICIPANTS}&rsu_api_reg=17.x"))).await;
    assert_eq!(code(&half.json()), 17);
    assert_eq!(codes(&sim), ["half_caller_registration"]);
}

#[tokio::test]
async fn from_2027_the_registration_is_required() {
    let (_sim, rsu) =
        start_with(|settings| settings.caller_registration = CallerRegistration::Required).await;
    let answer = read(rsu.request(false, PARTICIPANTS)).await;
    assert_eq!((answer.status.as_u16(), code(&answer.json())), (400, 17));
}

#[tokio::test]
async fn a_race_out_of_the_keys_reach_is_denied() {
    let (sim, rsu) = start().await;
    sim.plant(Resource::Race, json!({ "id": 7, "reachable": false })).unwrap();
    assert_eq!(code(&rsu.get(PARTICIPANTS).await), 7);
    assert_eq!(code(&rsu.get("race/7").await), 7);
    assert_eq!(code(&rsu.get("race/9").await), 201);
    assert_eq!(code(&rsu.get(&format!("race/8/participants?event_id={TEN_KM}")).await), 15);
}

#[tokio::test]
async fn the_old_login_is_of_no_use() {
    let (sim, rsu) = start().await;
    let login = rsu.bare(true, "login?format=json").form(&[("email", "a"), ("password", "b")]);
    assert_eq!(code(&read(login).await.json()), 102);
    assert_eq!(codes(&sim), ["deprecated_login"]);
}
