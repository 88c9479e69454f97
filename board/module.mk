board.src := board/board.c $(yaml.src)
$(eval $(call test,board,board/board_test.c $(board.src),$(YAML_LIBS)))
