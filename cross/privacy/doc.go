// Package privacy shows that what a recipient is sent does not help to copy a part: the
// claims T-P1 to T-P6 of the rules of privacy (SECURITY.md), each with its control.
//
// It is tests alone: parts are printed on the simulated printer, by the real slicer,
// driver and supervision, in the fake time of a bubble; the real collector, catalogue
// and evidence make of the machine's state what is sent; and attacks are run on what a
// recipient can read of that. [TestProve] runs all claims and prints one line for each;
// "make prove-privacy" runs it in full, "make test" in a short form.
package privacy
