//! Real guests: Linux with the init of `e2e/guest/init`, under emulation, up in three seconds.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use uuid::Uuid;

use crate::{
    command::{eventually, run},
    testbed_file,
};

/// A guest's files and the XML that starts it.
#[derive(Debug, Clone)]
pub struct Guest {
    /// The domain's name.
    pub name: String,
    /// The domain's UUID.
    pub uuid: Uuid,
    folder: PathBuf,
    disks: Vec<Disk>,
    steps: String,
    marks: u32,
    extra: String,
}

/// One disk of a guest.
#[derive(Debug, Clone, Copy)]
pub struct Disk {
    /// The format of its file.
    pub format: DiskFormat,
    /// What the guest sees, in bytes.
    pub bytes: u64,
}

/// The format of a disk's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFormat {
    /// The bytes as they are.
    Raw,
    /// QEMU's own, version 3.
    Qcow2,
}

impl fmt::Display for DiskFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        })
    }
}

/// A guest to be made.
#[derive(Debug)]
pub struct GuestBuilder(Guest);

impl GuestBuilder {
    /// Gives it a UUID; a random one else.
    #[must_use]
    pub fn uuid(mut self, uuid: Uuid) -> Self {
        self.0.uuid = uuid;
        self
    }

    /// Adds a disk; the first is `vda`.
    #[must_use]
    pub fn disk(mut self, format: DiskFormat, bytes: u64) -> Self {
        self.0.disks.push(Disk { format, bytes });
        self
    }

    /// What it does after booting, as `marks,tick`: see `e2e/guest/init`. `marks,idle` else.
    #[must_use]
    pub fn steps(mut self, steps: &str) -> Self {
        steps.clone_into(&mut self.0.steps);
        self
    }

    /// How many marks it writes to each disk, one per MiB, which the disk must be large enough for; 8 else.
    #[must_use]
    pub fn marks(mut self, marks: u32) -> Self {
        self.0.marks = marks;
        self
    }

    /// XML to put among its devices.
    #[must_use]
    pub fn devices(mut self, xml: &str) -> Self {
        self.0.extra.push_str(xml);
        self
    }

    /// Makes its disk files, empty.
    #[must_use]
    pub fn create(self) -> Guest {
        let guest = self.0;
        fs::create_dir_all(&guest.folder).unwrap_or_else(|error| panic!("{}: {error}", guest.folder.display()));
        for (index, disk) in guest.disks.iter().enumerate() {
            let path = guest.disk_path(&target(index));
            let (format, bytes) = (disk.format.to_string(), disk.bytes.to_string());
            run("qemu-img", ["create", "-q", "-f", &format, &path.display().to_string(), &bytes]);
        }
        guest
    }
}

impl Guest {
    /// A guest to be made, its files in `folder`.
    #[must_use]
    pub fn builder(name: &str, folder: &Path) -> GuestBuilder {
        GuestBuilder(Self {
            name: name.to_owned(),
            uuid: Uuid::new_v4(),
            folder: folder.to_owned(),
            disks: Vec::new(),
            steps: "marks,idle".to_owned(),
            marks: 8,
            extra: String::new(),
        })
    }

    /// One with a qcow2 disk of 64 MiB, made.
    #[must_use]
    pub fn with_one_disk(name: &str, folder: &Path) -> Self {
        Self::builder(name, folder).disk(DiskFormat::Qcow2, 64 << 20).create()
    }

    /// The file of a disk, as it was made.
    #[must_use]
    pub fn disk_path(&self, target_name: &str) -> PathBuf {
        let index = (0..self.disks.len()).find(|&index| target(index) == target_name).expect("the guest has that disk");
        self.folder.join(format!("{}-{target_name}.{}", self.name, self.disks[index].format))
    }

    /// The targets of its disks: `vda`, `vdb` …
    #[must_use]
    pub fn targets(&self) -> Vec<String> {
        (0..self.disks.len()).map(target).collect()
    }

    /// The file that what it says on its console goes to; each start begins it anew.
    #[must_use]
    pub fn console_path(&self) -> PathBuf {
        self.folder.join(format!("{}.console", self.name))
    }

    /// What it has said since it was started.
    #[must_use]
    pub fn console(&self) -> String {
        fs::read(self.console_path()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits until it says something.
    pub fn wait_for_console(&self, text: &str, timeout: Duration) {
        eventually(
            timeout,
            || self.console().contains(text).then_some(()),
            || format!("guest {} has not said `{text}`, but:\n{}", self.name, self.console()),
        );
    }

    /// Waits until it has been through its marks, and says that it found them all.
    pub fn wait_until_marks_are_read(&self, timeout: Duration) {
        self.wait_for_console("GUEST-READY", timeout);
        let console = self.console();
        for disk in self.targets() {
            let expected = format!("MARK-READ {disk} {} ok", self.marks);
            assert!(console.contains(&expected), "guest {} did not say `{expected}`, but:\n{console}", self.name);
        }
    }

    /// A mark as it stands on a disk, over and over, from `index` MiB on for 4 KiB, in lines.
    #[must_use]
    pub fn mark(disk: &str, index: u32) -> String {
        format!("CADENAS-MARK-{disk}-{index}\n")
    }

    /// What begins every mark and every tick on any disk.
    pub const MARK_PREFIXES: [&str; 2] = ["CADENAS-MARK-", "CADENAS-TICK-"];

    /// The domain's XML.
    #[must_use]
    pub fn xml(&self) -> String {
        format!(
            "<domain type='qemu'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>256</memory>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{kernel}</kernel>
    <initrd>{initrd}</initrd>
    <cmdline>console=ttyS0 quiet panic=-1 cadenas.do={steps} cadenas.marks={marks}</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    {disks}{extra}<serial type='file'><source path='{console}'/><target port='0'/></serial>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
",
            name = self.name,
            uuid = self.uuid,
            kernel = testbed_file("vmlinuz").display(),
            initrd = testbed_file("initrd").display(),
            steps = self.steps,
            marks = self.marks,
            disks = (0..self.disks.len()).map(|index| self.disk_xml(index)).collect::<String>(),
            extra = self.extra,
            console = self.console_path().display(),
        )
    }

    /// The XML in a file, for `virsh define`.
    #[must_use]
    pub fn xml_file(&self) -> PathBuf {
        let path = self.folder.join(format!("{}.xml", self.name));
        fs::write(&path, self.xml()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    fn disk_xml(&self, index: usize) -> String {
        let target = target(index);
        format!(
            "<disk type='file' device='disk'>
      <driver name='qemu' type='{}'/>
      <source file='{}'/>
      <target dev='{target}' bus='virtio'/>
    </disk>
    ",
            self.disks[index].format,
            self.disk_path(&target).display()
        )
    }
}

fn target(index: usize) -> String {
    let letter = u8::try_from(index).ok().filter(|&index| index < 26).expect("at most 26 disks");
    format!("vd{}", char::from(b'a' + letter))
}
