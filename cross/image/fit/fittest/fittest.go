// Package fittest has keys for tests that sign images: [Key]. To make one takes an emulated
// processor many seconds. Everybody knows these; they are good for nothing else.
package fittest

import (
	"crypto/rsa"
	"math/big"
)

// Key is one of two RSA keys of 2048 bits, 0 or 1.
func Key(i int) *rsa.PrivateKey {
	primes := [2][2]string{
		{
			"d3d3a49d8772f355d20e146f3e3913bfa0bc91d084de423db137e4b9fd74a6f02c35ebc9d3d46bec0e1ecc6242da39e0" +
				"19edec7bd5b313733195cc780ed591a08b5bfcfe582788222bf9ae75339344ce65d031f125586dde174aa0f2b2804134" +
				"05f002fbab84136cc0ea2e49c3f535970e9524af6808248a9f4ca12f916dd7eb",
			"b65fd7d8fba2e76ced46d2172ec8fcc51ec6718c23d960572223390517c492b1ce0a0c8205c7ec4d37a4a2a322cd0a98" +
				"c76ad4156e16750ce31963e3598d3f46a4ac8032a017d6425cc2ee711caa75ee36e8ef1c55743eb6977dafb52b079f7d" +
				"323f5b3d53524b254cd520c7259cbb6d367a07054a563a3859da79e9e1058ce5",
		},
		{
			"e090b831d04842e1b95de56f918fbea058b3af6be8bf876b94528989e35ef2fe56f89cc42aa4bc6557060dcb11506f43" +
				"5add7a50a0fd791b1237fbc0317dc25fbad9fedbc73e5a2614ed52d6022bb1a11aa6ff70d7d308dec079c59dde0e6700" +
				"b7c3c104c418ebe43042e7ebcf43116332926b23afcfb62322861f2c8e384c5b",
			"cf422d7a37b8373d4d2f03c83e8d7880d0507808fed1f4e0cb88bab814c129093804fdfc2b8ef7f5a919812ab89f1a11" +
				"9765e2ebee0081e9af4a0a494847225dfa178c2c0f1c74d27887727e6e06019c77555963bf02b4ac3e9055c99a0dfbaa" +
				"9f54e032c099bb090ff2a927f605cd2cc2faaf802baf08257a919c0ceeee2b21",
		},
	}[i]
	p, _ := new(big.Int).SetString(primes[0], 16)
	q, _ := new(big.Int).SetString(primes[1], 16)
	one := big.NewInt(1)
	order := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	k := &rsa.PrivateKey{Primes: []*big.Int{p, q}}
	k.N, k.E = new(big.Int).Mul(p, q), 65537
	k.D = new(big.Int).ModInverse(big.NewInt(int64(k.E)), order)
	k.Precompute()
	return k
}
