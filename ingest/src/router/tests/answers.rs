//! What answers and logs tell about a request.

use super::*;

/// What was logged.
#[derive(Clone, Default)]
struct Logged(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_names_the_request() {
    let logged = Logged::default();
    let writer = logged.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("weir_ingest=debug")
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let deadline = Instant::now() + std::time::Duration::from_secs(10);
    loop {
        // Tests beside this one may just have found that nobody wants the router's spans.
        tracing::callsite::rebuild_interest_cache();
        let request = Request::post("/v1/track").header("x-request-id", "abc-1");
        assert_eq!(Service::new().send(request, "{}").await.status, 401);
        let text = String::from_utf8(logged.0.lock().unwrap().clone()).unwrap();
        let mut refused = text.lines().filter(|line| line.contains("request refused"));
        if refused.any(|line| line.contains(r#"request{id="abc-1"}"#)) {
            return;
        }
        assert!(Instant::now() < deadline, "{text}");
    }
}

#[tokio::test]
async fn an_answer_of_200_tells_the_class_of_the_key() {
    let service = Service::new();
    for (key, class) in [(WEB, "browser"), (SERVER, "server")] {
        let request = Request::post("/v1/batch").header("x-write-key", key);
        let answer = service.send(request, r#"{"batch":[]}"#).await;
        assert_eq!(
            (answer.status, answer.header("x-weir-key-class")),
            (200, class)
        );
    }
    let refused = Request::post("/v1/batch").header("x-write-key", SERVER);
    let answer = service.send(refused, "{").await;
    assert_eq!(
        (answer.status, answer.header("x-weir-key-class")),
        (400, "")
    );
}
