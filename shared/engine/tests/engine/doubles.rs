//! Sources that fail, hang or act at a chosen moment, around real ones.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use logisedge_domain::manifest::Manifest;
use logisedge_domain::scope::Selection;
use logisedge_sources::{OpenSnapshot, Part, Source, SourceError, SourceErrorKind, SourceSnapshot};
use tokio::sync::mpsc;

pub(crate) fn source_error(kind: SourceErrorKind) -> SourceError {
    SourceError {
        kind,
        operation: "read",
        object: "table customers".to_owned(),
        message: "a failure of the test".to_owned(),
        source: None,
    }
}

/// What is done when a snapshot was read to its end.
type AtClose = Box<dyn FnOnce() -> futures_util::future::BoxFuture<'static, ()> + Send>;

/// What a [`Troubled`] source does.
pub(crate) enum Trouble {
    /// Opening fails.
    AtOpen(SourceErrorKind),
    /// A part gives some bytes, then fails.
    MidWay(SourceErrorKind),
    /// A part gives some bytes, then nothing more, for ever.
    Hangs,
    /// All is read; then this happens, and the source says that all is well.
    BeforeClose(AtClose),
    /// All is read; then the source says that it may not be consistent.
    AtClose(SourceErrorKind),
}

/// A source with trouble.
pub(crate) struct Troubled {
    inner: Box<dyn Source>,
    trouble: Arc<Mutex<Option<Trouble>>>,
}

impl fmt::Debug for Troubled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Troubled").field(&self.inner).finish()
    }
}

pub(crate) fn troubled(inner: Box<dyn Source>, trouble: Trouble) -> Box<dyn Source> {
    let trouble = Arc::new(Mutex::new(Some(trouble)));
    Box::new(Troubled { inner, trouble })
}

struct TroubledSnapshot {
    inner: Box<dyn SourceSnapshot>,
    trouble: Arc<Mutex<Option<Trouble>>>,
}

#[async_trait]
impl Source for Troubled {
    async fn open(
        &self,
        selection: &Selection,
        base: Option<&Manifest>,
    ) -> Result<Box<dyn SourceSnapshot>, SourceError> {
        if let Some(Trouble::AtOpen(kind)) = &*self.trouble.lock().unwrap() {
            return Err(source_error(*kind));
        }
        Ok(Box::new(TroubledSnapshot {
            inner: self.inner.open(selection, base).await?,
            trouble: self.trouble.clone(),
        }))
    }
}

#[async_trait]
impl SourceSnapshot for TroubledSnapshot {
    fn facts(&self) -> &OpenSnapshot {
        self.inner.facts()
    }

    fn parallelism(&self) -> usize {
        self.inner.parallelism()
    }

    async fn unchanged(&self, part: &Part) -> Result<Option<String>, SourceError> {
        self.inner.unchanged(part).await
    }

    async fn read(&self, part: &Part, sink: mpsc::Sender<Bytes>) -> Result<u64, SourceError> {
        let (hangs, fails) = match &*self.trouble.lock().unwrap() {
            Some(Trouble::Hangs) => (true, None),
            Some(Trouble::MidWay(kind)) => (false, Some(*kind)),
            _ => (false, None),
        };
        if hangs || fails.is_some() {
            let sent = sink.send(Bytes::from_static(b"some bytes")).await;
            sent.map_err(|_| source_error(SourceErrorKind::Aborted))?;
        }
        if hangs {
            std::future::pending::<()>().await;
        }
        match fails {
            Some(kind) => Err(source_error(kind)),
            None => self.inner.read(part, sink).await,
        }
    }

    async fn close(&self) -> Result<(), SourceError> {
        self.inner.close().await?;
        let trouble = self.trouble.lock().unwrap().take();
        match trouble {
            Some(Trouble::BeforeClose(act)) => {
                act().await;
                Ok(())
            }
            Some(Trouble::AtClose(kind)) => Err(source_error(kind)),
            _ => Ok(()),
        }
    }
}
