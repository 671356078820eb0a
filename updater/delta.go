package updater

// Delta is a signed file that makes a target out of other contents (package delta).
type Delta struct {
	Path   string   // name in the signed metadata
	From   [32]byte // digest of the contents it starts from
	Size   int64    // length of the delta in bytes
	SHA256 [32]byte // digest of the delta
}
