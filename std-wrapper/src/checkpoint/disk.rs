//! Checkpoints as files, which are replaced as a whole.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use super::Checkpoint;
use crate::Error;

/// The error of the file system while `doing` something to `path`.
fn failed<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Error + 'a {
    move |e| Error::File { path: path.into(), doing, kind: e.kind(), message: e.to_string() }
}

impl Checkpoint {
    /// Writes a file, in the place of one that may be there: after a crash at any moment, of the program
    /// or of the machine, there is the whole old file or the whole new one. See the type's description
    /// for how, and for what may be left over.
    ///
    /// The file has the permissions of a new one. A symbolic link is replaced, not followed.
    ///
    /// # Errors
    /// [`Error::File`]; the file is then as it was, unless it was the sync of the folder that failed,
    /// after which it is the new one. [`Error::Memory`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let Some(name) = path.file_name() else {
            let error = io::Error::from(io::ErrorKind::InvalidFilename);
            return Err(failed("save to", path)(error));
        };
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let mut prefix = OsString::from(".");
        prefix.push(name);
        prefix.push(".");
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(".tmp");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // Less the umask, as for any file.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let (head, data) = self.head()?;
        let mut file = builder.tempfile_in(folder).map_err(failed("make a file in", folder))?;
        let written = file.write_all(&head).and_then(|()| {
            data.iter().try_for_each(|part| file.write_all(part))?;
            file.as_file().sync_all()
        });
        written.map_err(failed("write", file.path()))?;
        file.persist(path).map_err(|e| failed("replace", path)(e.error))?;
        sync_folder(folder).map_err(failed("sync", folder))
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::File`]; as [`from_bytes`](Self::from_bytes).
    ///
    /// ```
    /// let e = pergrad::Checkpoint::load("no/such.safetensors").unwrap_err();
    /// assert!(e.to_string().starts_with("cannot read no/such.safetensors: "));
    /// ```
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(failed("read", path))?;
        Self::from_bytes(&bytes).map_err(|e| match e {
            Error::Checkpoint { what } => {
                Error::Checkpoint { what: format!("{}: {what}", path.display()) }
            }
            other => other,
        })
    }
}

/// A rename is an entry in a folder, and lasts once that is on disk.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

/// Elsewhere folders cannot be opened.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}
