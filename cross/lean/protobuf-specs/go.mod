// Stands in for the module of the same name: see gen/pb-go/common/v1.
module github.com/sigstore/protobuf-specs

go 1.26
