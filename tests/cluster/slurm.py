"""A throw-away SLURM on the loopback device: two nodes of processors, one with two GPUs by name.

The GPUs are stand-ins (device files that exist everywhere): SLURM counts, assigns and limits them
as it does real ones, and no program can compute on them. Needs root and Debian's packages.

`python tests/cluster/slurm.py COMMAND...` runs a command while one is up.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sacct", "slurmdbd", "mariadbd")
PROCESSORS, GPUS = ("c1", "c2"), ("g1",)
# The executor's inner `srun` is given no SLURM_CONF, so only the built-in place works.
ETC = Path("/etc/slurm")
MARK = "# throw-away cluster of the tests"
MUNGE = Path("/run/munge")
LOCK = Path("/run/lock/attention-wavelets-slurm")
PORT = 26817
REAPER = Path(__file__).parent / "reaper.py"


def why_not() -> str:
    """Why no cluster can be brought up here; empty if it can."""
    if os.geteuid() != 0:
        return "not root: SLURM's daemons cannot be started"
    if lost := [name for name in PROGRAMS if _program(name) is None]:
        return f"not installed: {', '.join(lost)}"
    conf = ETC / "slurm.conf"
    if conf.exists() and not conf.read_text().startswith(MARK):
        return f"{conf} belongs to another cluster"
    return ""


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin")


def _call(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _running(pid: int) -> bool:
    """Whether a process is there and is no zombie, which nobody may reap in a container."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return "State:\tZ" not in status and "State:\tX" not in status


@dataclass
class Cluster:
    """The daemons and their folder; `accounting` adds slurmdbd and a MariaDB of its own."""

    root: Path
    accounting: bool
    started: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    lock: IO[str] | None = None

    def up(self) -> None:
        """Bring everything up and wait until all nodes are idle."""
        self._alone()
        for name in ("log", "run", "state"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o755)
        self._write_conf()
        self._munge_up()
        if self.accounting:
            self._database_up()
        self.controller_up()
        for node in (*PROCESSORS, *GPUS):
            self.node_up(node)
        self._wait("idle nodes", lambda: set(self.states().values()) == {"idle"})

    def down(self) -> None:
        """Stop everything and remove the files outside of the folder."""
        if self.lock is None:
            return
        _call("scancel", "--user=root", check=False)
        for name in reversed(list(self.started)):
            self._stop(name)
        for name in ("slurm.conf", "gres.conf", "slurmdbd.conf"):
            (ETC / name).unlink(missing_ok=True)
        self.lock.close()
        self.lock = None

    @contextmanager
    def without_accounting(self) -> Iterator[None]:
        """As a site without slurmdbd is, for a while; nothing may be in the queue."""
        self._account(False)
        try:
            yield
        finally:
            self._account(True)

    @contextmanager
    def set(self, what: str, name: str, *values: str) -> Iterator[None]:
        """`scontrol update` of a partition or node, taken back at the end."""
        back = {"partition": ("state=up",), "nodename": ("state=resume",)}[what]
        _call("scontrol", "update", f"{what}={name}", *values)
        try:
            yield
        finally:
            _call("scontrol", "update", f"{what}={name}", *back)
            self._wait("idle nodes", lambda: set(self.states().values()) == {"idle"})

    @contextmanager
    def configured(self, old: str, new: str) -> Iterator[None]:
        """Another line of slurm.conf, for a while."""
        conf = ETC / "slurm.conf"
        before = conf.read_text()
        assert old in before
        conf.write_text(before.replace(old, new))
        _call("scontrol", "reconfigure")
        try:
            yield
        finally:
            conf.write_text(before)
            _call("scontrol", "reconfigure")

    def states(self) -> dict[str, str]:
        """Node -> its state, such as idle, mixed or down."""
        lines = _call("sinfo", "-h", "-N", "-o", "%N %T", check=False).split("\n")
        return {n: state.rstrip("*$~#") for n, _, state in (x.partition(" ") for x in lines) if n}

    def controller_up(self) -> None:
        """Start slurmctld."""
        self._start("slurmctld", "slurmctld", "-D")
        self._wait("slurmctld", lambda: "UP" in _call("scontrol", "ping", check=False))

    def controller_down(self) -> None:
        """Stop slurmctld; the jobs go on."""
        self._stop("slurmctld")

    def node_up(self, node: str) -> None:
        """Start the slurmd of a node."""
        self._start(f"slurmd-{node}", "slurmd", "-D", "-N", node)

    def node_down(self, node: str) -> None:
        """Kill the slurmd of a node with what it runs, as a machine that loses its power."""
        self._stop(f"slurmd-{node}", signal.SIGKILL)
        for job in _call("squeue", "-h", "-w", node, "-o", "%A", check=False).split():
            for pid in self.processes(job):
                os.kill(pid, signal.SIGKILL)

    def processes(self, job: str) -> list[int]:
        """Processes of a job, by the variable that SLURM gives them."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if f"SLURM_JOB_ID={job}\0".encode() in environment and _running(int(entry.name)):
                found.append(int(entry.name))
        return found

    def jobs(self, name: str = "") -> list[dict[str, str]]:
        """Finished and running jobs of the accounting, the newest last."""
        fields = "JobID,Comment,State,NodeList,ReqCPUS,ReqMem,Timelimit,AllocTRES,Partition"
        text = _call("sacct", "-X", "-n", "-P", "--noconvert", f"--format={fields}")
        rows = [
            dict(zip(fields.split(","), x.split("|"), strict=True)) for x in text.splitlines() if x
        ]
        return [row for row in rows if name in row["Comment"]]

    def queued(self, name: str) -> list[str]:
        """Ids of the jobs of a rule that wait or run; the accounting names them once they ended."""
        rows = (x.split("|") for x in _call("squeue", "-h", "-o", "%A|%k").splitlines())
        return [job for job, comment in rows if name in comment]

    def _account(self, accounting: bool) -> None:
        self.controller_down()
        self.accounting = accounting
        self._write_conf()
        self.controller_up()
        self._wait("idle nodes", lambda: set(self.states().values()) == {"idle"})

    def _alone(self) -> None:
        """One cluster at a time: there is one place for its settings."""
        if self.lock is None:
            lock = LOCK.open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                raise RuntimeError("other tests on this machine have their cluster up") from None
            self.lock = lock

    def _wait(self, what: str, ready: Callable[[], bool], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > end:
                logs = sorted((self.root / "log").glob("*.log"))
                last = [f"{x.name}: {x.read_text(errors='replace')[-600:]}" for x in logs]
                raise RuntimeError("\n".join([f"no {what} after {seconds:.0f} s", *last]))
            time.sleep(0.2)

    def _start(self, name: str, program: str, *arguments: str) -> None:
        found = _program(program)
        assert found is not None
        with (self.root / f"log/{name}.log").open("ab") as log:
            self.started[name] = subprocess.Popen(
                [sys.executable, str(REAPER), found, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _stop(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        process = self.started.pop(name, None)
        if process is None or process.poll() is not None:
            return
        if how == signal.SIGKILL:
            os.killpg(process.pid, how)
        else:
            process.send_signal(how)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _munge_up(self) -> None:
        if subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode == 0:
            return
        # sacct finds slurmdbd by munge's default socket only.
        MUNGE.mkdir(exist_ok=True)
        MUNGE.chmod(0o755)
        key = self.root / "munge.key"
        key.touch(0o600)
        key.write_bytes(os.urandom(128))
        run, log = self.root / "run", self.root / "log"
        self._start(
            "munged",
            "munged",
            *("--foreground", "--force", f"--key-file={key}"),
            *(f"--pid-file={run}/munged.pid", f"--log-file={log}/munged-own.log"),
            f"--seed-file={run}/munged.seed",
        )
        self._wait("munge", lambda: bool(_call("munge", "-n", check=False)))

    def _database_up(self) -> None:
        data, sockets = self.root / "state/mysql", self.root / "run/mysql"
        for folder in (data, sockets):
            folder.mkdir(exist_ok=True)
            shutil.chown(folder, "mysql")
        if not (data / "mysql").is_dir():
            _call(
                *("mariadb-install-db", "--user=mysql", f"--datadir={data}", "--skip-test-db"),
                "--auth-root-authentication-method=socket",
            )
        socket_file = sockets / "mysqld.sock"
        self._start(
            "mariadbd",
            "mariadbd",
            *("--no-defaults", "--user=mysql", f"--datadir={data}", f"--socket={socket_file}"),
            *("--bind-address=127.0.0.1", f"--port={PORT + 3}", "--skip-name-resolve"),
            *("--innodb-buffer-pool-size=64M", "--innodb-log-file-size=16M"),
            *("--innodb-flush-log-at-trx-commit=0", "--innodb-lock-wait-timeout=900"),
        )
        client = ("mariadb", "--no-defaults", f"--socket={socket_file}", "-e")
        self._wait("MariaDB", lambda: bool(_call(*client, "select 1", check=False)))
        _call(
            *client,
            "create database if not exists slurm_acct_db;"
            "create user if not exists slurm@127.0.0.1 identified by 'tests';"
            "grant all on slurm_acct_db.* to slurm@127.0.0.1",
        )
        self._start("slurmdbd", "slurmdbd", "-D")
        self._wait("slurmdbd", _accounts)
        for words in (
            ("cluster", "tests"),
            ("account", "tests", "Cluster=tests", "Description=tests", "Organization=tests"),
            ("user", "root", "Account=tests", "DefaultAccount=tests", "AdminLevel=Admin"),
        ):
            # They say that there is nothing new the second time.
            _call("sacctmgr", "-i", "add", *words, check=False)

    def _write_conf(self) -> None:
        ETC.mkdir(exist_ok=True)
        host = socket.gethostname().split(".")[0]
        _name_this_host(host)
        storage = "slurmdbd" if self.accounting else "none"
        node = (
            f"NodeHostname={host} NodeAddr=127.0.0.1 CPUs=4 Boards=1 SocketsPerBoard=1 "
            "CoresPerSocket=4 ThreadsPerCore=1 RealMemory=6000"
        )
        nodes = [
            f"NodeName={name} {node} Port={PORT + 10 + place}"
            + (" Gres=gpu:fake:2" if name in GPUS else "")
            for place, name in enumerate((*PROCESSORS, *GPUS))
        ]
        lines = [
            MARK,
            "ClusterName=tests",
            f"SlurmctldHost={host}(127.0.0.1)",
            f"SlurmctldPort={PORT}",
            "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny",
            *("SlurmUser=root", "SlurmdUser=root", "AuthType=auth/munge", "CredType=cred/munge"),
            *("MailProg=/bin/true", "MpiDefault=none", "ReturnToService=2"),
            f"StateSaveLocation={self.root}/state/ctld",
            f"SlurmdSpoolDir={self.root}/state/slurmd-%n",
            f"SlurmctldPidFile={self.root}/run/slurmctld.pid",
            f"SlurmdPidFile={self.root}/run/slurmd-%n.pid",
            f"SlurmdLogFile={self.root}/log/slurmd-%n.log",
            # No control groups: a container need not allow them.
            *("ProctrackType=proctrack/linuxproc", "TaskPlugin=task/none"),
            *("SelectType=select/cons_tres", "SelectTypeParameters=CR_Core_Memory"),
            "SchedulerParameters=sched_min_interval=0,sched_interval=2,bf_interval=2",
            # Nodes have more cores than the machine, and requests that cannot be met fail at once.
            *("SlurmdParameters=config_overrides", "EnforcePartLimits=ALL"),
            *("SlurmdTimeout=15", "KillWait=5", "MinJobAge=3600"),
            *("JobAcctGatherType=jobacct_gather/linux", "JobAcctGatherFrequency=task=1"),
            "JobAcctGatherParams=OverMemoryKill",
            f"AccountingStorageType=accounting_storage/{storage}",
            "AccountingStoreFlags=job_comment",
            *(
                (f"AccountingStoragePort={PORT + 2}", "AccountingStorageTRES=gres/gpu")
                if self.accounting
                else ()
            ),
            "AccountingStorageHost=127.0.0.1",
            "GresTypes=gpu",
            *nodes,
            f"PartitionName=cpu Nodes={','.join(PROCESSORS)} Default=YES DefaultTime=10 "
            "MaxTime=120 DefMemPerCPU=500",
            f"PartitionName=gpu Nodes={','.join(GPUS)} DefaultTime=10 MaxTime=120 DefMemPerCPU=500",
        ]
        (ETC / "slurm.conf").write_text("\n".join(lines) + "\n")
        # SLURM shows a job the GPUs it has only where each has a device file of its own.
        (ETC / "gres.conf").write_text(
            f"{MARK}\n"
            + "".join(
                f"NodeName=g1 Name=gpu Type=fake File=/dev/{device}\n"
                for device in ("null", "zero")
            )
        )
        if self.accounting:
            conf = ETC / "slurmdbd.conf"
            conf.touch(0o600)
            conf.chmod(0o600)
            conf.write_text(
                "\n".join(
                    [
                        MARK,
                        "AuthType=auth/munge",
                        *(f"DbdHost={host}", "DbdAddr=127.0.0.1", f"DbdPort={PORT + 2}"),
                        *("CommunicationParameters=NoInAddrAny", "SlurmUser=root"),
                        f"PidFile={self.root}/run/slurmdbd.pid",
                        *("StorageType=accounting_storage/mysql", "StorageHost=127.0.0.1"),
                        *(f"StoragePort={PORT + 3}", "StorageUser=slurm", "StoragePass=tests"),
                        "StorageLoc=slurm_acct_db",
                    ]
                )
                + "\n"
            )


def _accounts() -> bool:
    command = ["sacctmgr", "-n", "list", "cluster"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _name_this_host(host: str) -> None:
    """The short host name must lead to the loopback device."""
    try:
        found = socket.gethostbyname(host)
    except OSError:
        found = ""
    if not found.startswith("127."):
        with Path("/etc/hosts").open("a") as hosts:
            hosts.write(f"127.0.0.1 {host}\n")


def main() -> None:
    """Run the command line's command with a cluster up; its exit status is ours."""
    if why := why_not():
        raise SystemExit(f"error: {why}")
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        cluster = Cluster(Path(folder), accounting=False)
        try:
            cluster.up()
            status = subprocess.run(sys.argv[1:], check=False).returncode
        finally:
            cluster.down()
    raise SystemExit(status)


if __name__ == "__main__":
    main()
