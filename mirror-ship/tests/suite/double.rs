//! A double of the bulk API that answers as documented, and fails on demand.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// What is to happen to a bulk request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered.
    None,
    /// The connection ends while the request comes.
    Reset,
    /// 503 for the whole request.
    Unavailable,
    /// 429 for the whole request.
    Throttled,
    /// Every third item is refused with 429.
    SomeThrottled,
    /// Every tenth item is refused with 400, for good.
    SomeMalformed,
    /// The request is done, and half of the answer comes.
    HalfAnswer,
}

#[derive(Default)]
pub struct State {
    /// Documents by id.
    pub documents: BTreeMap<String, Value>,
    /// Creations of an id that was there.
    pub conflicts: u64,
    /// Index templates.
    pub templates: BTreeMap<String, Value>,
    /// What is to happen to the next bulk requests.
    pub faults: VecDeque<Fault>,
    /// Authorization headers that came.
    pub authorization: Option<String>,
}

/// A server; its thread ends with the test program.
pub struct Double {
    pub state: Arc<Mutex<State>>,
    pub address: String,
}

impl Double {
    pub fn start(faults: &[Fault]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state =
            Arc::new(Mutex::new(State { faults: faults.iter().copied().collect(), ..State::default() }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream.unwrap(), &shared));
            }
        });
        Self { state, address }
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line == "\r\n" {
                break;
            }
            head.push(line.trim().to_owned());
        }
        let header = |name: &str| {
            head.iter().find_map(|line| {
                let (key, value) = line.split_once(": ")?;
                key.eq_ignore_ascii_case(name).then(|| value.to_owned())
            })
        };
        let length: usize = header("content-length").map_or(0, |text| text.parse().unwrap());
        let is_bulk = head[0].contains("/_bulk");
        let fault = if is_bulk { state.lock().unwrap().faults.pop_front() } else { None };
        let fault = fault.unwrap_or(Fault::None);
        if fault == Fault::Reset {
            let mut part = vec![0; length / 2];
            reader.read_exact(&mut part).ok()?;
            return None;
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let (status, answer) = {
            let mut state = state.lock().unwrap();
            state.authorization = header("authorization").or(state.authorization.take());
            match fault {
                Fault::Unavailable => (503, json!({"error": "unavailable"})),
                Fault::Throttled => (429, json!({"error": "es_rejected_execution_exception"})),
                _ if is_bulk => (200, bulk(&body, fault, &mut state)),
                _ if head[0].starts_with("PUT /_index_template/") => {
                    let name = head[0].split([' ', '/']).nth(3).unwrap().to_owned();
                    state.templates.insert(name, serde_json::from_slice(&body).unwrap());
                    (200, json!({"acknowledged": true}))
                }
                _ => (200, json!({"version": {"number": "8.17.0"}})),
            }
        };
        let text = answer.to_string();
        let sent = if fault == Fault::HalfAnswer { &text[..text.len() / 2] } else { &text };
        let head = format!(
            "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            text.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(sent.as_bytes()).ok()?;
        if fault == Fault::HalfAnswer {
            return None;
        }
    }
}

fn bulk(body: &[u8], fault: Fault, state: &mut State) -> Value {
    let lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let items: Vec<Value> = lines
        .chunks(2)
        .enumerate()
        .map(|(number, pair)| {
            let action: Value = serde_json::from_slice(pair[0]).unwrap();
            let document: Value = serde_json::from_slice(pair[1]).unwrap();
            let id = action["create"]["_id"].as_str().unwrap().to_owned();
            let answer = match fault {
                Fault::SomeThrottled if number % 3 == 0 => {
                    json!({"status": 429, "error": {"type": "es_rejected_execution_exception"}})
                }
                Fault::SomeMalformed if number % 10 == 0 => {
                    json!({"status": 400, "error": {"type": "document_parsing_exception"}})
                }
                _ if state.documents.contains_key(&id) => {
                    state.conflicts += 1;
                    json!({"status": 409, "error": {"type": "version_conflict_engine_exception"}})
                }
                _ => {
                    state.documents.insert(id, document);
                    json!({"status": 201})
                }
            };
            json!({"create": answer})
        })
        .collect();
    json!({"took": 1, "errors": true, "items": items})
}
