// Package deb is what the Debian package of the agent consists of besides the binary: the
// hardened unit, the agent's user, rules for its devices, settings of the kernel and the
// first configuration. cross/deb.sh ("make deb ARCH=armhf") puts them together with nfpm;
// the tests hold the unit against systemd's own judgement and the configuration against
// the agent's. cross/deb/try.sh installs the package where systemd runs, and prints under
// its unit.
//
// The unit gives up everything but what an agent needs: the network, its state, the TPM,
// serial ports, the watchdog and pins. It has no capability, and its sessions confine
// themselves further (agent/confine). A board that needs more says so in a drop-in:
//
//	systemctl edit platen
//	[Service]
//	DeviceAllow=block-sd r          # usb = true: jobs on USB sticks
//	DeviceAllow=block-mmc rw        # [update.rootfs]: two root file systems
package deb
