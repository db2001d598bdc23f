//! What server and desk say to one another.

use model::problem::StoredProblem;
use model::{Name, Problem, Result, codes};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use server::Question;
use std::io::{self, Write};
use tokio::io::{AsyncRead, AsyncReadExt};

/// A question for a desk, on one line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) workspace: Name,
    pub(super) question: Question,
}

/// What a desk answers first, on one line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    /// The answer; frames follow when it says so.
    Answer {
        value: Value,
        has_body: bool,
        /// Memory that the desk has now, in MiB.
        memory_mib: u64,
    },
    /// There is none.
    Problems(Vec<StoredProblem>),
}

/// Bytes of a frame at most.
pub(super) const FRAME_BYTES_MAX: usize = 64 << 10;
/// The frame after the last.
const END: u32 = 0;
/// The frame after which a problem follows instead of the rest.
const BROKEN: u32 = u32::MAX;
/// A problem that follows is no longer than this.
const PROBLEM_BYTES_MAX: u32 = 1 << 20;

/// Sends what is written to it as frames.
pub(super) struct Frames<W: Write> {
    out: W,
    waiting: Vec<u8>,
}

impl<W: Write> Frames<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, waiting: Vec::with_capacity(FRAME_BYTES_MAX) }
    }

    fn frame(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let length = u32::try_from(self.waiting.len()).map_err(io::Error::other)?;
        self.out.write_all(&length.to_be_bytes())?;
        self.out.write_all(&self.waiting)?;
        self.waiting.clear();
        Ok(())
    }

    /// Says that this was all, or why there is no more.
    pub(super) fn end(mut self, outcome: Result<()>) -> io::Result<()> {
        match outcome {
            Ok(()) => {
                self.frame()?;
                self.out.write_all(&END.to_be_bytes())?;
            }
            Err(problem) => {
                let text = serde_json::to_vec(&problem.to_stored())?;
                let length = u32::try_from(text.len()).map_err(io::Error::other)?;
                self.out.write_all(&BROKEN.to_be_bytes())?;
                self.out.write_all(&length.to_be_bytes())?;
                self.out.write_all(&text)?;
            }
        }
        self.out.flush()
    }
}

impl<W: Write> Write for Frames<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = FRAME_BYTES_MAX - self.waiting.len();
        let taken = bytes.len().min(room);
        self.waiting.extend_from_slice(&bytes[..taken]);
        if self.waiting.len() == FRAME_BYTES_MAX {
            self.frame()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The next frame; none after the last.
pub(super) async fn next_frame(
    input: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<Result<Vec<u8>>>> {
    let length = input.read_u32().await?;
    match length {
        END => Ok(None),
        BROKEN => {
            let length = input.read_u32().await?;
            let mut text = vec![0; length.min(PROBLEM_BYTES_MAX) as usize];
            input.read_exact(&mut text).await?;
            let stored: StoredProblem = serde_json::from_slice(&text)?;
            Ok(Some(Err(server::problem_of(stored))))
        }
        length if length as usize > FRAME_BYTES_MAX => {
            Err(io::Error::other(format!("a frame of {length} bytes")))
        }
        length => {
            let mut bytes = vec![0; length as usize];
            input.read_exact(&mut bytes).await?;
            Ok(Some(Ok(bytes)))
        }
    }
}

/// A problem of talking to one another.
pub(super) fn untalkable(error: impl std::fmt::Display) -> Problem {
    Problem::new(&codes::INTERNAL, "a desk cannot be talked to").detail(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> (Vec<u8>, Option<Problem>) {
        let mut input = bytes;
        let mut read = Vec::new();
        while let Some(frame) = next_frame(&mut input).await.unwrap() {
            match frame {
                Ok(bytes) => read.extend(bytes),
                Err(problem) => return (read, Some(problem)),
            }
        }
        assert!(input.is_empty(), "nothing is left over");
        (read, None)
    }

    #[tokio::test]
    async fn what_is_written_in_any_pieces_is_read_whole() {
        let whole: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
        for piece in [1, 1000, FRAME_BYTES_MAX, FRAME_BYTES_MAX + 1, whole.len()] {
            let mut sent = Vec::new();
            let mut frames = Frames::new(&mut sent);
            whole.chunks(piece).for_each(|bytes| frames.write_all(bytes).unwrap());
            frames.end(Ok(())).unwrap();
            assert_eq!(read(&sent).await, (whole.clone(), None), "pieces of {piece}");
        }
    }

    #[tokio::test]
    async fn what_breaks_off_says_why_and_a_dead_writer_is_an_error() {
        let mut sent = Vec::new();
        let mut frames = Frames::new(&mut sent);
        frames.write_all(&[7; FRAME_BYTES_MAX]).unwrap();
        frames.end(Err(Problem::new(&codes::FILE_CORRUPT, "a file is damaged"))).unwrap();
        let (bytes, problem) = read(&sent).await;
        assert_eq!(
            (bytes.len(), problem.unwrap().message()),
            (FRAME_BYTES_MAX, "a file is damaged")
        );
        let mut cut = &sent[..100];
        assert!(next_frame(&mut cut).await.is_err());
        let mut lying = [0xff, 0, 0, 0].as_slice();
        assert!(next_frame(&mut lying).await.is_err());
    }
}
