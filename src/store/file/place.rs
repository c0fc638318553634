//! Where the file lies: which one a path leads to, who else could have put it there, and that one
//! process at a time has it.
//!
//! Links are resolved once, and from there on nothing is looked up by a path: each directory on
//! the way is opened without following a link, and what is judged is what is open. So nobody can
//! put something else in between.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, openat, renameat, renameat_with, statat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::{Device, OpenError};

/// A pipe, a terminal or a link that is opened by mistake is neither waited for nor followed.
const FILE: OFlags = OFlags::RDWR
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);
const NEW_FILE: OFlags = FILE.union(OFlags::CREATE).union(OFlags::EXCL);
const DIRECTORY: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Opens the file at `path`, locked; `init` makes a new one, which gets its name only when it is
/// complete. So a file that is there, yet empty, was damaged.
pub(super) fn open_file(
    path: &Path,
    init: impl FnOnce(&Arc<dyn Device>) -> Result<(), OpenError>,
) -> Result<File, OpenError> {
    let place = Place::find(path)?;
    place.refuse_linked_draft()?;
    let file = match openat(&place.directory, &place.name, FILE, Mode::empty()) {
        Ok(file) => place.take(file.into()),
        Err(Errno::NOENT) => place.create(init),
        Err(Errno::LOOP) => {
            Err(place.refuse("it is a symbolic link that leads nowhere: name the file itself"))
        }
        Err(Errno::NXIO) => Err(place.refuse(NO_FILE)),
        Err(error) => Err(place.failed(error.into())),
    }?;
    place
        .warn_of_others(&file)
        .map_err(|error| place.failed(error))?;
    Ok(file)
}

const NO_FILE: &str = "it is something other than a file: name a file";

/// A name in a directory that is open.
struct Place<'a> {
    /// As it was configured, to be named by.
    path: &'a Path,
    directory: OwnedFd,
    directory_path: PathBuf,
    name: OsString,
    /// A new file's name until it is complete.
    draft: OsString,
}

impl<'a> Place<'a> {
    /// Follows `path` to where it leads, and makes the directory if there is none.
    fn find(path: &'a Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::at_path(path, source);
        let real = match path.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                new_file_at(path).map_err(failed)?
            }
            found => found.map_err(failed)?,
        };
        let (Some(directory_path), Some(name)) = (real.parent(), real.file_name()) else {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        };
        let mut draft = name.to_owned();
        draft.push(".new");
        Ok(Self {
            path,
            directory: enter(path, directory_path)?,
            directory_path: directory_path.to_owned(),
            name: name.to_owned(),
            draft,
        })
    }

    /// A file that was there: ours alone, or refused.
    fn take(&self, file: File) -> Result<File, OpenError> {
        let found = file.metadata().map_err(|error| self.failed(error))?;
        if !found.is_file() {
            return Err(self.refuse(NO_FILE));
        }
        if !is_us_or_root(found.uid()) {
            return Err(self.refuse(format!(
                "it belongs to user {}, who can change it: if it is yours, chown it to user {}, else move it away",
                found.uid(),
                geteuid().as_raw(),
            )));
        }
        if found.nlink() > 1 {
            return Err(self.refuse(
                "it has another name as well (a hard link): remove that, or put a copy here",
            ));
        }
        self.lock(&file)?;
        Ok(file)
    }

    fn create(
        &self,
        init: impl FnOnce(&Arc<dyn Device>) -> Result<(), OpenError>,
    ) -> Result<File, OpenError> {
        let file = self.new_draft()?;
        let completed = self.complete(&file, init);
        if completed.is_err() {
            // It is ours for as long as it is locked.
            let _ = rustix::fs::unlinkat(&self.directory, &self.draft, AtFlags::empty());
        }
        completed.map(|()| file)
    }

    fn complete(
        &self,
        file: &File,
        init: impl FnOnce(&Arc<dyn Device>) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        let failed = |error| self.failed(error);
        // Whoever had the draft before may have finished the file meanwhile.
        match statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            Ok(_) => return Err(self.locked()),
            Err(error) => return Err(failed(error.into())),
        }
        let device: Arc<dyn Device> = Arc::new(file.try_clone().map_err(failed)?);
        init(&device)?;
        file.sync_all().map_err(failed)?;
        let (directory, name, draft) = (&self.directory, &self.name, &self.draft);
        match renameat_with(directory, draft, directory, name, RenameFlags::NOREPLACE) {
            // A file system that cannot promise it.
            Err(Errno::INVAL) => renameat(directory, draft, directory, name),
            Err(Errno::EXIST) => return Err(self.locked()),
            renamed => renamed,
        }
        .and_then(|()| openat(directory, ".", DIRECTORY, Mode::empty()))
        .map_err(io::Error::from)
        .and_then(|directory| File::from(directory).sync_all())
        .map_err(failed)
    }

    /// An empty file under the draft's name, locked. Only who has it locked may take the name
    /// away, so one at a time gets past this.
    fn new_draft(&self) -> Result<File, OpenError> {
        let at = self.directory_path.join(&self.draft);
        let failed = |error| OpenError::at_path(&at, error);
        for _ in 0..8 {
            let mode = Mode::RUSR | Mode::WUSR;
            match openat(&self.directory, &self.draft, NEW_FILE, mode) {
                Ok(file) => {
                    let file = File::from(file);
                    self.lock(&file)?;
                    let is_there = self.is_draft(&file).map_err(failed)?;
                    return is_there.then_some(file).ok_or_else(|| self.locked());
                }
                Err(Errno::EXIST) => self.clear_draft(&at)?,
                Err(error) => return Err(failed(error.into())),
            }
        }
        Err(self.locked())
    }

    /// Removes a draft that a crash has left.
    fn clear_draft(&self, at: &Path) -> Result<(), OpenError> {
        let failed = |error| OpenError::at_path(at, error);
        let left = match openat(&self.directory, &self.draft, FILE, Mode::empty()) {
            Ok(left) => File::from(left),
            Err(Errno::NOENT) => return Ok(()),
            Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => return Err(not_ours(at)),
            Err(error) => return Err(failed(error.into())),
        };
        let found = left.metadata().map_err(failed)?;
        if !found.is_file() || found.uid() != geteuid().as_raw() {
            return Err(not_ours(at));
        }
        self.lock(&left)?;
        if self.is_draft(&left).map_err(failed)? {
            rustix::fs::unlinkat(&self.directory, &self.draft, AtFlags::empty())
                .map_err(|error| failed(error.into()))?;
        }
        Ok(())
    }

    /// Whether the draft's name still leads to this file.
    fn is_draft(&self, file: &File) -> io::Result<bool> {
        match statat(&self.directory, &self.draft, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(named) => {
                let file = rustix::fs::fstat(file)?;
                Ok((named.st_dev, named.st_ino) == (file.st_dev, file.st_ino))
            }
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// This program makes no links: one under the draft's name was put there to have something
    /// else overwritten, whether or not a draft is needed now.
    fn refuse_linked_draft(&self) -> Result<(), OpenError> {
        let found = statat(&self.directory, &self.draft, AtFlags::SYMLINK_NOFOLLOW);
        let is_link = found
            .is_ok_and(|found| rustix::fs::FileType::from_raw_mode(found.st_mode).is_symlink());
        if is_link {
            return Err(not_ours(&self.directory_path.join(&self.draft)));
        }
        Ok(())
    }

    fn lock(&self, file: &File) -> Result<(), OpenError> {
        match file.try_lock() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => Err(self.locked()),
            Err(TryLockError::Error(error)) => Err(self.failed(error)),
        }
    }

    /// What others may do that is for the operator to change, or meant: the group may be the one
    /// that makes the backups, and a volume's directory has the owner and group it is given.
    fn warn_of_others(&self, file: &File) -> io::Result<()> {
        let mode = file.metadata()?.mode() & 0o777;
        if mode & 0o077 != 0 {
            tracing::warn!(
                file = %self.path.display(),
                mode = format!("{mode:04o}"),
                "the session file is open to others than its owner: chmod 600 it"
            );
        }
        let found = rustix::fs::fstat(&self.directory)?;
        let (mode, owner) = (found.st_mode & 0o7777, found.st_uid);
        let directory = self.directory_path.display();
        if !is_us_or_root(owner) {
            tracing::warn!(
                %directory,
                owner,
                "the session file's directory belongs to another user, who can put another file in its place"
            );
        }
        if mode & 0o1020 == 0o0020 {
            tracing::warn!(
                %directory,
                mode = format!("{mode:04o}"),
                "the session file's directory is writable by its group, which can put another file in its place: chmod g-w it"
            );
        }
        Ok(())
    }

    fn failed(&self, source: io::Error) -> OpenError {
        OpenError::at_path(self.path, source)
    }

    fn locked(&self) -> OpenError {
        OpenError::Locked(self.path.to_owned())
    }

    fn refuse(&self, why: impl Into<String>) -> OpenError {
        OpenError::unsafe_at(self.path, why)
    }
}

fn is_us_or_root(owner: u32) -> bool {
    owner == 0 || owner == geteuid().as_raw()
}

fn not_ours(draft: &Path) -> OpenError {
    OpenError::unsafe_at(
        draft,
        "a new file is made under this name, and something is there that this process did not make: remove it",
    )
}

/// Where a file that is not there yet will be.
fn new_file_at(path: &Path) -> io::Result<PathBuf> {
    let written = path.as_os_str().as_bytes();
    let name = path.file_name();
    let Some(name) = name.filter(|name| written.ends_with(name.as_bytes())) else {
        // "sessions/" and "sessions/."
        return Err(io::ErrorKind::IsADirectory.into());
    };
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let parent = parent.unwrap_or(Path::new("."));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(parent)?;
    Ok(parent.canonicalize()?.join(name))
}

/// Opens a directory by its whole path without links. Whoever may write to one on the way could
/// put another in place of the next.
fn enter(path: &Path, directory: &Path) -> Result<OwnedFd, OpenError> {
    let failed = |error: Errno| OpenError::at_path(path, error.into());
    let mut here = PathBuf::from("/");
    let open = |at: &OwnedFd, name: &OsStr| {
        openat(at, name, DIRECTORY | OFlags::PATH, Mode::empty()).map_err(failed)
    };
    let mut opened =
        rustix::fs::open("/", DIRECTORY | OFlags::PATH, Mode::empty()).map_err(failed)?;
    refuse_if_everybodys(path, &here, &opened)?;
    for part in directory.components() {
        if let Component::Normal(name) = part {
            opened = open(&opened, name)?;
            here.push(name);
            refuse_if_everybodys(path, &here, &opened)?;
        }
    }
    Ok(opened)
}

fn refuse_if_everybodys(path: &Path, here: &Path, opened: &OwnedFd) -> Result<(), OpenError> {
    let found =
        rustix::fs::fstat(opened).map_err(|error| OpenError::at_path(path, error.into()))?;
    if found.st_mode & 0o1002 == 0o0002 {
        let here = here.display();
        return Err(OpenError::unsafe_at(
            path,
            format!(
                "everybody may write to {here}, and so put another file in its place: chmod o-w {here}, or name a file elsewhere"
            ),
        ));
    }
    Ok(())
}
