.PHONY: help demo test bench experiment fuzz interop clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo     a head end, two hundred secured meters, two concentrators, in a browser'
	@echo 'make test     everything that must hold (what continuous integration runs)'
	@echo 'make bench    the figures of docs/perf.md'
	@echo 'make experiment  SCTP beside others, and SCION, into docs/experiments (root)'
	@echo 'make fuzz     every decoder on generated input, FUZZ_SECONDS=60 a target'
	@echo 'make interop  other people'\''s DLMS programs against ours, both ways'
	@echo 'make clean    removes what was built (not the downloads in .tools)'
	@echo
	@echo 'Each installs what it needs by package name and says what it does:'
	@echo 'see scripts/need. One step of the tests: scripts/check STEP'

demo:
	@scripts/need rust ui
	@scripts/demo

test:
	@scripts/need python
	@python3 scripts/check

bench:
	@scripts/need rust ui sctp python
	@scripts/bench

experiment:
	@scripts/need rust ui experiment scion
	@scripts/build-ui
	@scripts/experiment --out docs/experiments
	@scripts/experiment scion --out docs/experiments
	@scripts/experiment scion --reference --out docs/experiments

fuzz:
	@scripts/need rust python
	@scripts/fuzz

interop:
	@scripts/need python
	@python3 scripts/check interop; status=$$?; cat interop/matrix.txt; exit $$status

clean:
	rm -rf target fuzz/target interop/build interop/target ui/dist ui/dist-home
