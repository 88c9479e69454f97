board.src := board/board.c firmware/core/status.c
$(eval $(call test,board,board/board_test.c $(board.src),-lcyaml -lyaml))
