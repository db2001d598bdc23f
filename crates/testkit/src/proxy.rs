//! A proxy between a client and a server that cuts the line at a chosen moment.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const CHUNK_BYTES: usize = 16 * 1024;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// New connections are closed at once.
    Refuse,
    /// The line is cut after so many bytes from the client.
    CutAfterBytes(u64),
    /// The line is cut before this text reaches the server.
    CutBefore(&'static str),
    /// This text reaches the server, which does what it asks for; its answer is lost.
    LoseAnswerTo(&'static str),
    /// Nothing gets through any more, and nobody says so.
    Stall,
}

struct Shared {
    target: u16,
    fault: Mutex<Fault>,
    refuse_after_fault: AtomicBool,
    faults: AtomicU64,
    stopped: AtomicBool,
}

impl Shared {
    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault has struck: the next connection is a good one, or refused.
    fn struck(&self) {
        self.faults.fetch_add(1, Ordering::SeqCst);
        let refuse = self.refuse_after_fault.load(Ordering::SeqCst);
        let next = if refuse { Fault::Refuse } else { Fault::None };
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }
}

/// A proxy on a free port of 127.0.0.1; dropped, it stops.
pub struct FaultProxy {
    port: u16,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

impl FaultProxy {
    /// Starts a proxy that passes everything on to `target`, a port of 127.0.0.1.
    ///
    /// # Panics
    ///
    /// When no port is free.
    pub fn start(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port exists");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let shared = Arc::new(Shared {
            target,
            fault: Mutex::new(Fault::None),
            refuse_after_fault: AtomicBool::new(false),
            faults: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        let listener = thread::spawn(move || accept(&listener, &accepting));
        Self { port, shared, listener: Some(listener) }
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Arms a fault. It strikes once; afterwards everything passes again.
    pub fn set(&self, fault: Fault) {
        self.shared.refuse_after_fault.store(false, Ordering::SeqCst);
        *self.shared.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Arms a fault, after which nobody gets a connection any more.
    pub fn set_then_refuse(&self, fault: Fault) {
        self.set(fault);
        self.shared.refuse_after_fault.store(true, Ordering::SeqCst);
    }

    /// How often a fault has struck.
    pub fn faults(&self) -> u64 {
        self.shared.faults.load(Ordering::SeqCst)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

impl std::fmt::Debug for FaultProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaultProxy").field("port", &self.port).finish_non_exhaustive()
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(client) = client else { continue };
        if shared.fault() == Fault::Refuse {
            continue;
        }
        let Ok(server) = TcpStream::connect(("127.0.0.1", shared.target)) else { continue };
        let _ = connect(client, server, shared);
    }
}

fn connect(client: TcpStream, server: TcpStream, shared: &Arc<Shared>) -> std::io::Result<()> {
    let lose_answers = Arc::new(AtomicBool::new(false));
    let (up_from, up_to) = (client.try_clone()?, server.try_clone()?);
    let up = Arc::clone(shared);
    let up_lose = Arc::clone(&lose_answers);
    thread::spawn(move || {
        let _ = pump_up(up_from, up_to, &up, &up_lose);
    });
    let down = Arc::clone(shared);
    thread::spawn(move || {
        let _ = pump_down(server, client, &down, &lose_answers);
    });
    Ok(())
}

fn cut(first: &TcpStream, second: &TcpStream) {
    let _ = first.shutdown(Shutdown::Both);
    let _ = second.shutdown(Shutdown::Both);
}

/// From the client to the server.
fn pump_up(
    mut client: TcpStream,
    mut server: TcpStream,
    shared: &Shared,
    lose_answers: &AtomicBool,
) -> std::io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut passed = 0u64;
    loop {
        let length = client.read(&mut chunk)?;
        if length == 0 {
            cut(&client, &server);
            return Ok(());
        }
        let bytes = &chunk[..length];
        passed += length as u64;
        match shared.fault() {
            Fault::CutAfterBytes(limit) if passed > limit => {
                shared.struck();
                cut(&client, &server);
                return Ok(());
            }
            Fault::CutBefore(text) if contains(bytes, text) => {
                shared.struck();
                cut(&client, &server);
                return Ok(());
            }
            Fault::LoseAnswerTo(text) if contains(bytes, text) => {
                lose_answers.store(true, Ordering::SeqCst);
            }
            _ => {}
        }
        wait_while_stalled(shared);
        server.write_all(bytes)?;
    }
}

/// From the server to the client.
fn pump_down(
    mut server: TcpStream,
    mut client: TcpStream,
    shared: &Shared,
    lose_answers: &AtomicBool,
) -> std::io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = server.read(&mut chunk)?;
        if length == 0 {
            cut(&client, &server);
            return Ok(());
        }
        if lose_answers.load(Ordering::SeqCst) {
            shared.struck();
            cut(&client, &server);
            return Ok(());
        }
        wait_while_stalled(shared);
        client.write_all(&chunk[..length])?;
    }
}

fn wait_while_stalled(shared: &Shared) {
    while shared.fault() == Fault::Stall && !shared.stopped.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(5));
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
