$(eval $(call test,fdb,dataplane/switch/fdb_test.c dataplane/switch/fdb.c,))
