ledger.src := firmware/ledger/ledger.c
PURE += firmware/ledger/ledger.c
$(eval $(call test,ledger,firmware/ledger/ledger_test.c $(ledger.src)))
