//! A disk that can lose power: names and data that are durable, and what was done since.
//!
//! After a cut every change of a name that was not synced may have happened or not, in any combination (a rename
//! as a whole, or not), and of the data that was not synced all, nothing, or half may be there, or its length
//! with zeros in it. That is more than a journalling file system does, and what POSIX promises.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::recording::{Step, is_outbox};

/// Unsynced changes of names of which every combination is taken; of more, those of [`subsets`].
const ALL_SUBSETS: usize = 4;

/// Directory of everything.
const TOP: usize = 0;

/// See the module.
#[derive(Clone)]
pub(crate) struct Disk {
    nodes: Vec<Node>,
    /// By directory and name.
    durable: BTreeMap<(usize, String), usize>,
    current: BTreeMap<(usize, String), usize>,
    pending: Vec<Vec<Name>>,
}

#[derive(Clone)]
enum Node {
    Directory,
    Symlink(PathBuf),
    File(Data),
}

#[derive(Clone, Default)]
struct Data {
    changes: Vec<Change>,
    durable: usize,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Resize(u64),
}

/// A name that is set to a node, or removed.
#[derive(Clone)]
struct Name {
    directory: usize,
    name: String,
    node: Option<usize>,
}

/// What became of the data that was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    All,
    Lost,
    Half,
    Zeros,
}

/// What is at a path after a cut. Two that are equal have equal content.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Leaf {
    Directory,
    Symlink(PathBuf),
    File { node: usize, changes: usize, durable: usize, fate: Fate },
}

/// One state that a power cut can leave.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Crash(BTreeMap<PathBuf, Leaf>);

/// The states of one moment: those that were chosen, of how many.
pub(crate) struct Crashes {
    pub(crate) chosen: Vec<Crash>,
    pub(crate) possible: f64,
}

impl Disk {
    /// What is below `directory` now, all of it durable. Sockets are none of it.
    pub(crate) fn of(directory: &Path) -> Result<Self> {
        let mut disk = Self {
            nodes: vec![Node::Directory],
            durable: BTreeMap::new(),
            current: BTreeMap::new(),
            pending: Vec::new(),
        };
        let (mut todo, mut linked) = (vec![(TOP, directory.to_owned())], BTreeMap::new());
        while let Some((parent, path)) = todo.pop() {
            for entry in std::fs::read_dir(&path)? {
                let entry = entry?;
                let path = entry.path();
                if path.strip_prefix(directory).is_ok_and(is_outbox) {
                    continue;
                }
                let (kind, metadata) = (entry.file_type()?, entry.metadata()?);
                let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
                let node = if kind.is_dir() {
                    disk.add(Node::Directory)
                } else if kind.is_symlink() {
                    disk.add(Node::Symlink(std::fs::read_link(entry.path())?))
                } else if !kind.is_file() {
                    continue;
                } else if let Some(known) = linked.get(&inode) {
                    *known
                } else {
                    let changes = vec![Change::Write(0, std::fs::read(entry.path())?)];
                    disk.add(Node::File(Data { changes, durable: 1 }))
                };
                linked.insert(inode, node);
                if kind.is_dir() {
                    todo.push((node, entry.path()));
                }
                let name = entry.file_name().to_string_lossy().into_owned();
                disk.durable.insert((parent, name), node);
            }
        }
        disk.current = disk.durable.clone();
        Ok(disk)
    }

    fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Does `step`.
    pub(crate) fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Directory(path) => {
                let node = self.add(Node::Directory);
                self.name(vec![(path, Some(node))])
            }
            Step::File(path) => {
                if self.find(path).is_none() {
                    let node = self.add(Node::File(Data::default()));
                    self.name(vec![(path, Some(node))])?;
                }
                Ok(())
            }
            Step::Resize(path, length) => self.change(path, Change::Resize(*length)),
            Step::Write(path, at, bytes) => self.change(path, Change::Write(*at, bytes.clone())),
            Step::Symlink(path, target) => {
                let node = self.add(Node::Symlink(target.clone()));
                self.name(vec![(path, Some(node))])
            }
            Step::Link(from, to) => {
                let node = self.must(from)?;
                self.name(vec![(to, Some(node))])
            }
            Step::Rename(from, to) => {
                let node = self.must(from)?;
                self.name(vec![(from, None), (to, Some(node))])
            }
            // The control socket is none of the files.
            Step::Remove(path) if self.find(path).is_none() => Ok(()),
            Step::Remove(path) => self.name(vec![(path, None)]),
            Step::Sync(path) => self.sync(path),
        }
    }

    fn find(&self, path: &Path) -> Option<usize> {
        path.components().try_fold(TOP, |directory, part| {
            let name = part.as_os_str().to_string_lossy().into_owned();
            self.current.get(&(directory, name)).copied()
        })
    }

    fn must(&self, path: &Path) -> Result<usize> {
        self.find(path).with_context(|| format!("nobody made `{}`", path.display()))
    }

    fn name(&mut self, changes: Vec<(&PathBuf, Option<usize>)>) -> Result<()> {
        let mut group = Vec::new();
        for (path, node) in changes {
            let directory = self.must(path.parent().unwrap_or(Path::new("")))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            group.push(Name { directory, name, node });
        }
        group.iter().for_each(|change| change.to(&mut self.current));
        self.pending.push(group);
        Ok(())
    }

    fn change(&mut self, path: &Path, change: Change) -> Result<()> {
        let node = self.must(path)?;
        let Node::File(data) = &mut self.nodes[node] else { bail!("it is no file") };
        let empty = matches!(change, Change::Resize(0)) && data.changes.is_empty();
        if !empty {
            data.changes.push(change);
        }
        Ok(())
    }

    fn sync(&mut self, path: &Path) -> Result<()> {
        let node = self.must(path)?;
        if let Node::File(data) = &mut self.nodes[node] {
            data.durable = data.changes.len();
            return Ok(());
        }
        let (done, mut left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|group| group.iter().any(|change| change.directory == node));
        for change in done.iter().flatten() {
            change.to(&mut self.durable);
            // What came before on the same name is overtaken.
            for group in &mut left {
                group.retain(|old| (old.directory, &old.name) != (change.directory, &change.name));
            }
        }
        // Names in directories that no longer are anywhere are of no interest.
        let mut alive = BTreeSet::from([TOP]);
        alive.extend(self.durable.values().copied());
        alive.extend(left.iter().flatten().filter_map(|change| change.node));
        left.retain(|group| group.iter().any(|change| alive.contains(&change.directory)));
        self.pending = left;
        Ok(())
    }

    /// What is there if all was lost that can be.
    pub(crate) fn least(&self) -> Crash {
        self.crash(&vec![false; self.pending.len()], Fate::Lost)
    }

    /// The states that a cut at this moment can leave.
    pub(crate) fn crashes(&self) -> Crashes {
        let mut crashes = Crashes { chosen: Vec::new(), possible: 0.0 };
        let subsets = subsets(self.pending.len());
        let all = 2_f64.powi(i32::try_from(self.pending.len()).unwrap_or(i32::MAX));
        let share = all / f64::from(u32::try_from(subsets.len()).unwrap_or(u32::MAX));
        for subset in subsets {
            let whole = self.crash(&subset, Fate::All);
            let dirty = whole.0.values().filter(|leaf| self.dirty(leaf)).count();
            crashes.possible += share * 4_f64.powi(i32::try_from(dirty).unwrap_or(i32::MAX));
            if dirty > 0 {
                for fate in [Fate::Lost, Fate::Half, Fate::Zeros] {
                    crashes.chosen.push(self.crash(&subset, fate));
                }
            }
            crashes.chosen.push(whole);
        }
        crashes
    }

    fn dirty(&self, leaf: &Leaf) -> bool {
        let Leaf::File { node, .. } = leaf else { return false };
        matches!(&self.nodes[*node], Node::File(data) if data.durable < data.changes.len())
    }

    fn crash(&self, subset: &[bool], fate: Fate) -> Crash {
        let mut names = self.durable.clone();
        let chosen = self.pending.iter().zip(subset).filter(|(_, chosen)| **chosen);
        chosen.flat_map(|(group, _)| group).for_each(|change| change.to(&mut names));
        let (mut tree, mut todo) = (BTreeMap::new(), vec![(TOP, PathBuf::new())]);
        while let Some((directory, path)) = todo.pop() {
            let own = names.range((directory, String::new())..(directory + 1, String::new()));
            for ((_, name), &node) in own {
                let path = path.join(name);
                let leaf = match &self.nodes[node] {
                    Node::Directory => {
                        todo.push((node, path.clone()));
                        Leaf::Directory
                    }
                    Node::Symlink(target) => Leaf::Symlink(target.clone()),
                    Node::File(data) => data.leaf(node, fate),
                };
                tree.insert(path, leaf);
            }
        }
        Crash(tree)
    }

    /// Makes `directory`, which must not be there, what `crash` says.
    pub(crate) fn make(&self, crash: &Crash, directory: &Path) -> Result<()> {
        std::fs::create_dir(directory)?;
        let mut made: BTreeMap<usize, PathBuf> = BTreeMap::new();
        for (path, leaf) in &crash.0 {
            let path = directory.join(path);
            match leaf {
                Leaf::Directory => std::fs::create_dir(&path)?,
                Leaf::Symlink(target) => std::os::unix::fs::symlink(target, &path)?,
                Leaf::File { node, .. } if made.contains_key(node) => {
                    std::fs::hard_link(&made[node], &path)?;
                }
                Leaf::File { node, fate, .. } => {
                    let Node::File(data) = &self.nodes[*node] else { bail!("it is no file") };
                    let bytes = data.content(leaf, *fate);
                    std::io::Write::write_all(&mut std::fs::File::create(&path)?, &bytes)?;
                    made.insert(*node, path);
                }
            }
        }
        Ok(())
    }
}

impl Name {
    fn to(&self, names: &mut BTreeMap<(usize, String), usize>) {
        let key = (self.directory, self.name.clone());
        match self.node {
            Some(node) => names.insert(key, node),
            None => names.remove(&key),
        };
    }
}

impl Data {
    fn leaf(&self, node: usize, fate: Fate) -> Leaf {
        let (changes, durable) = (self.changes.len(), self.durable);
        match fate {
            Fate::All => Leaf::File { node, changes, durable: changes, fate },
            // The same as when the last that is durable was all that there was.
            Fate::Lost => Leaf::File { node, changes: durable, durable, fate: Fate::All },
            _ if changes == durable => Leaf::File { node, changes, durable, fate: Fate::All },
            fate => Leaf::File { node, changes, durable, fate },
        }
    }

    fn content(&self, leaf: &Leaf, fate: Fate) -> Vec<u8> {
        let Leaf::File { changes, durable, .. } = leaf else { return Vec::new() };
        let mut bytes = Vec::new();
        for (number, change) in self.changes[..*changes].iter().enumerate() {
            let unsynced = number >= *durable;
            match change {
                Change::Resize(length) => bytes.resize(usize::try_from(*length).unwrap_or(0), 0),
                Change::Write(at, new) => {
                    let at = usize::try_from(*at).unwrap_or(0);
                    let new = match fate {
                        Fate::Half if unsynced => &new[..new.len() / 2],
                        _ => &new[..],
                    };
                    let end = at + new.len();
                    bytes.resize(bytes.len().max(end), 0);
                    if !(unsynced && fate == Fate::Zeros) {
                        bytes[at..end].copy_from_slice(new);
                    }
                }
            }
        }
        bytes
    }
}

/// Combinations of `count` changes: all where they are few; else none, each begin of the list, each one alone
/// and each one missing.
fn subsets(count: usize) -> Vec<Vec<bool>> {
    if count <= ALL_SUBSETS {
        return (0..1_usize << count)
            .map(|bits| (0..count).map(|bit| bits >> bit & 1 == 1).collect())
            .collect();
    }
    let begins = (0..=count).map(|end| (0..count).map(|at| at < end).collect());
    let single = |chosen: bool| {
        (0..count).map(move |one| (0..count).map(|at| (at == one) == chosen).collect())
    };
    let subsets: BTreeSet<Vec<bool>> = begins.chain(single(true)).chain(single(false)).collect();
    subsets.into_iter().collect()
}
