package attest

import (
	"context"
)

// Client is the printer as one recipient sees it: the same printer for all of them, with
// a client key of its own for each, so that what they see of TLS connects nothing.
type Client struct {
	*TPM
	key *Signer
}

// Client is the printer with the client key of this label; "" is [TPM.TLSKey]. The same
// label always gives the same key.
func (t *TPM) Client(ctx context.Context, label string) (*Client, error) {
	if label == "" {
		return &Client{t, t.tls}, nil
	}
	key, err := call(ctx, t, func(o *owner) (*Signer, error) {
		id := keyID{tlsKey.name, label}
		if o.keys[id] == nil {
			who, err := o.identity()
			if err != nil {
				return nil, err
			}
			o.keys[id] = &key{hierarchy: o.keys[tlsKey].hierarchy, template: signingTemplate(who.unique("tls key for "+label), false)}
		}
		return newSigner(t, o, id)
	})
	if err != nil {
		return nil, err
	}
	return &Client{t, key}, nil
}

// Key is the client key.
func (c *Client) Key() *Signer { return c.key }

// EnrolRequest is [TPM.EnrolRequest] with this client's key.
func (c *Client) EnrolRequest(ctx context.Context, claim string) ([]byte, error) {
	return c.enrolRequest(ctx, claim, c.key)
}
