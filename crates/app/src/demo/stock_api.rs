//! The stock service of the sample project: a small REST server that hands out items page by page.
//!
//! `GET /stock?page=2&per_page=100` answers `{"page", "pages", "total", "items"}`. It listens on
//! this machine only, and ends when the [`StockApi`] is dropped.

use model::{Problem, Result, codes};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The port in `connections/stock_api.yaml`, when it is free.
pub const PORT: u16 = 8907;

const PER_PAGE: usize = 100;
const PER_PAGE_MAX: usize = 500;
const HEAD_BYTES_MAX: usize = 8 * 1024;
const CLIENTS_MAX: usize = 32;
const PATIENCE: Duration = Duration::from_secs(10);

/// A running service.
#[derive(Debug)]
pub struct StockApi {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl StockApi {
    /// Where it listens, as in `http://127.0.0.1:8907`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves until the process ends.
    pub async fn wait(mut self) {
        // The loop below never ends by itself; a panic in it is the only other end.
        let _ = (&mut self.server).await;
    }
}

impl Drop for StockApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Serves the items of `stock_file` at `port`, or at any free port when that one is taken.
pub async fn start(stock_file: &Path, port: u16) -> Result<StockApi> {
    let bytes =
        tokio::fs::read(stock_file).await.map_err(|error| unreadable(stock_file, &error))?;
    let items: Vec<Value> =
        serde_json::from_slice(&bytes).map_err(|error| unreadable(stock_file, &error))?;
    let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
        Ok(listener) => listener,
        Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|error| {
            Problem::new(&codes::CONNECTION_FAILED, "the stock service cannot open a port")
                .detail(error)
        })?,
    };
    let address = listener.local_addr().map_err(|error| {
        Problem::new(&codes::INTERNAL, "the stock service does not know its port").detail(error)
    })?;
    let server = tokio::spawn(serve(listener, Arc::new(items)));
    Ok(StockApi { address, server })
}

fn unreadable(path: &Path, error: &dyn std::error::Error) -> Problem {
    let path = path.display();
    Problem::new(&codes::FILE_UNREADABLE, format!("the stock file `{path}` cannot be read"))
        .arg("path", path)
        .detail(error)
        .hint("make the sample data again with `affluent demo`")
}

async fn serve(listener: TcpListener, items: Arc<Vec<Value>>) {
    let clients = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let Ok(client) = Arc::clone(&clients).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, mostly: others will be closed soon.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let items = Arc::clone(&items);
        tokio::spawn(async move {
            // A client that goes away or never ends its request is none of our problems.
            let _ = timeout(PATIENCE, answer(stream, &items)).await;
            drop(client);
        });
    }
}

async fn answer(mut stream: TcpStream, items: &[Value]) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        let read = stream.read(&mut buffer).await?;
        if read == 0 || head.len() + read > HEAD_BYTES_MAX {
            return Ok(());
        }
        head.extend_from_slice(&buffer[..read]);
    }
    let head = String::from_utf8_lossy(&head);
    let (status, body) = respond(head.lines().next().unwrap_or_default(), items);
    let body = body.to_string();
    let text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

/// Status and body for a request line such as `GET /stock?page=2 HTTP/1.1`.
fn respond(request: &str, items: &[Value]) -> (&'static str, Value) {
    let mut words = request.split(' ');
    let (Some("GET"), Some(target)) = (words.next(), words.next()) else {
        return ("405 Method Not Allowed", json!({"error": "only GET is answered here"}));
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if path != "/stock" {
        return ("404 Not Found", json!({"error": "there is only /stock here"}));
    }
    let number = |name: &str, default: usize| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let value = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next_back();
        value.map_or(Some(default), |value| value.parse().ok().filter(|number| *number > 0))
    };
    let (Some(page), Some(per_page)) = (number("page", 1), number("per_page", PER_PAGE)) else {
        return ("400 Bad Request", json!({"error": "page and per_page are numbers from 1"}));
    };
    let per_page = per_page.min(PER_PAGE_MAX);
    let from = (page - 1).saturating_mul(per_page).min(items.len());
    let to = from.saturating_add(per_page).min(items.len());
    let body = json!({
        "page": page,
        "pages": items.len().div_ceil(per_page),
        "total": items.len(),
        "items": items[from..to],
    });
    ("200 OK", body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(count: u64) -> Vec<Value> {
        (0..count).map(|number| json!({"n": number})).collect()
    }

    #[test]
    fn pages_cover_all_items_once() {
        let items = items(205);
        let mut seen = Vec::new();
        for page in 1..=4 {
            let (status, body) = respond(&format!("GET /stock?page={page} HTTP/1.1"), &items);
            assert_eq!((status, &body["pages"]), ("200 OK", &json!(3)));
            seen.extend(body["items"].as_array().unwrap().clone());
        }
        assert_eq!(seen, items);
    }

    #[test]
    fn wrong_requests_are_refused() {
        for (request, status) in [
            ("GET /other HTTP/1.1", "404"),
            ("POST /stock HTTP/1.1", "405"),
            ("GET /stock?page=0 HTTP/1.1", "400"),
            ("GET /stock?per_page=x HTTP/1.1", "400"),
            ("", "405"),
        ] {
            assert!(respond(request, &[]).0.starts_with(status), "{request}");
        }
    }

    #[tokio::test]
    async fn it_answers_over_a_socket_and_frees_its_port() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stock.json");
        std::fs::write(&path, json!(items(3)).to_string()).unwrap();
        let api = start(&path, 0).await.unwrap();
        let address = api.address;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /stock?per_page=2 HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["items"].as_array().unwrap().len(), 2);
        drop(api);
        for _ in 0..100 {
            if TcpStream::connect(address).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("still listening");
    }
}
