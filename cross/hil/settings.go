package hil

// configText is the printer's configuration, but for the fleet's address, the board, its bootloader
// and where that keeps what it goes by.
const configText = `board = %[2]q
state = "/state/platen"
socket = "/run/platen/agent.sock"
owner_key = "owner.pub"
approver_key = "approver.pub"
operator_keys = ["operator.pub"]
job_ca = "fleet.pem"
vault = "16MiB"
max_job = "4MiB"
queue_jobs = 4
queue_bytes = "8MiB"
tpm = "/dev/tpmrm0"
watchdog = "/dev/watchdog"
watchdog_time = "60s"
[fleet]
enrol = "https://%[1]s"
ca = "fleet.pem"
offers = true
[update]
url = "https://%[1]s/tuf/"
root = "root.json"
slots = "/slots"
period = "1h"
[update.rootfs]
a = "/dev/platen/a"
b = "/dev/platen/b"
running = "/run/slot"
bootloader = %[3]q
env = [%[4]q]
restart = ["/init", "reboot"]
`

// envText is where the image's disk has what U-Boot goes by, in two copies.
const envText = "/dev/platen/env 0x0 0x1000\n/dev/platen/env 0x10000 0x1000\n"

// envs is where each bootloader keeps what it goes by.
var envs = map[string]string{"uboot": "fw_env.config", "efi": "/sys/firmware/efi/efivars"}

// stdin is a command's standard input as a file on the printer, whose /dev has no links.
const stdin = "/proc/self/fd/0"
