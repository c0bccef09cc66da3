/*
 * help.c - the help texts, and the completions for shells.
 *
 * All of it comes from the table in tusctl.c, as do the options themselves.
 */
#include "config.h"

#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"

const char *const ctl_shells[] = { "bash", "zsh", "fish", NULL };

static bool
has(const struct ctl_option *o)
{
	return o != NULL && o->name != NULL;
}

/* --- For people. --- */

static void
print_synopsis(FILE *f, const struct ctl_command *command)
{
	const struct ctl_option *o;

	(void)fputs(command->name, f);
	for (o = command->options; has(o); o++)
		(void)fprintf(f, " [--%s%s%s]", o->name,
		    o->argument != NULL ? " " : "",
		    o->argument != NULL ? o->argument : "");
	if (*command->arguments != '\0')
		(void)fprintf(f, " %s", command->arguments);
	(void)fputc('\n', f);
}

void
ctl_help_all(FILE *f, const struct ctl_command *command)
{
	(void)fputs("usage: tusctl [-c FILE] COMMAND ...\n", f);
	for (; command->name != NULL; command++) {
		(void)fputs("  ", f);
		print_synopsis(f, command);
		(void)fprintf(f, "      %s\n", command->purpose);
	}
	(void)fputs("  -c FILE  configuration   -V  version   -h  this\n"
		    "See tusctl COMMAND --help, and tusctl(8).\n",
	    f);
}

static void
print_words(const char *const *word)
{
	(void)printf("%-24s one of", "");
	for (; *word != NULL; word++)
		(void)printf(" %s", *word);
	(void)printf("\n");
}

static void
print_option(const struct ctl_option *o)
{
	char left[64];

	(void)snprintf(left, sizeof(left), "--%s%s%s", o->name,
	    o->argument != NULL ? " " : "",
	    o->argument != NULL ? o->argument : "");
	(void)printf("  %-22s %s\n", left, o->purpose);
	if (o->words != NULL)
		print_words(o->words);
}

void
ctl_help(const struct ctl_command *command)
{
	const struct ctl_option *o;

	(void)printf("usage: tusctl [-c FILE] ");
	print_synopsis(stdout, command);
	(void)printf("\n%s\n", command->purpose);
	if (*command->details != '\0')
		(void)printf("%s\n", command->details);
	(void)printf("\n");
	for (o = command->options; has(o); o++)
		print_option(o);
	if (command->words != NULL) {
		(void)printf("  %s\n", command->arguments);
		print_words(command->words);
	}
	(void)printf("  %-22s this\n", "--help");
}

/* --- For shells. --- */

static void
print_list(const char *const *word)
{
	const char *space = "";

	for (; word != NULL && *word != NULL; word++) {
		(void)printf("%s%s", space, *word);
		space = " ";
	}
}

static void
complete_bash(const struct ctl_command *commands)
{
	const struct ctl_command *command;
	const struct ctl_option *o;

	(void)fputs("# What bash completes tusctl with.\n"
		    "_tusctl()\n{\n"
		    "\tlocal cur=${COMP_WORDS[COMP_CWORD]} command= words= i\n"
		    "\tlocal prev=${COMP_WORDS[COMP_CWORD-1]}\n\n"
		    "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
		    "\t\tcase ${COMP_WORDS[i]} in\n"
		    "\t\t-c) ((i++)) ;;\n\t\t-*) ;;\n"
		    "\t\t*) command=${COMP_WORDS[i]}; break ;;\n"
		    "\t\tesac\n\tdone\n"
		    "\tcase $command:$prev in\n"
		    "\t:-c) compopt -o default; COMPREPLY=(); return ;;\n",
	    stdout);
	for (command = commands; command->name != NULL; command++)
		for (o = command->options; has(o); o++) {
			if (o->argument == NULL)
				continue;
			(void)printf(
			    "\t%s:--%s) words='", command->name, o->name);
			print_list(o->words);
			(void)printf("' ;;\n");
		}
	(void)printf("\t:*) words='-c -h -V");
	for (command = commands; command->name != NULL; command++)
		(void)printf(" %s", command->name);
	(void)printf("' ;;\n");
	for (command = commands; command->name != NULL; command++) {
		(void)printf("\t%s:*) words='--help", command->name);
		for (o = command->options; has(o); o++)
			(void)printf(" --%s", o->name);
		(void)printf("%s", command->words != NULL ? " " : "");
		print_list(command->words);
		(void)printf("' ;;\n");
	}
	(void)fputs("\tesac\n"
		    "\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
		    "}\ncomplete -F _tusctl tusctl\n",
	    stdout);
}

static void
zsh_command(const struct ctl_command *command)
{
	const struct ctl_option *o;

	(void)printf("\t\t%s) _arguments '--help[what there is to know]'",
	    command->name);
	for (o = command->options; has(o); o++) {
		(void)printf(" \\\n\t\t\t'--%s%s[%s]", o->name,
		    o->argument != NULL ? "=" : "", o->purpose);
		if (o->argument != NULL)
			(void)printf(":%s:", o->argument);
		if (o->words != NULL) {
			(void)printf("(");
			print_list(o->words);
			(void)printf(")");
		}
		(void)printf("'");
	}
	if (command->words != NULL) {
		(void)printf(" \\\n\t\t\t'*:%s:(", command->arguments);
		print_list(command->words);
		(void)printf(")'");
	}
	(void)printf(" ;;\n");
}

static void
complete_zsh(const struct ctl_command *commands)
{
	const struct ctl_command *command;

	(void)fputs("#compdef tusctl\n# What zsh completes tusctl with.\n"
		    "_tusctl() {\n"
		    "\tlocal state line\n\tlocal -a commands\n"
		    "\tcommands=(\n",
	    stdout);
	for (command = commands; command->name != NULL; command++)
		(void)printf("\t\t'%s:%s'\n", command->name, command->purpose);
	(void)fputs("\t)\n"
		    "\t_arguments -C '-c[configuration]:file:_files' "
		    "'-h[all commands]' '-V[version]' \\\n"
		    "\t\t'1: :->command' '*:: :->rest' && return\n"
		    "\tcase $state in\n"
		    "\tcommand) _describe command commands ;;\n"
		    "\trest)\n\t\tcase $words[1] in\n",
	    stdout);
	for (command = commands; command->name != NULL; command++)
		zsh_command(command);
	(void)fputs("\t\tesac ;;\n\tesac\n}\n"
		    "if [ \"$funcstack[1]\" = _tusctl ]; then\n"
		    "\t_tusctl \"$@\"\nelse\n\tcompdef _tusctl tusctl\nfi\n",
	    stdout);
}

static void
complete_fish(const struct ctl_command *commands)
{
	const struct ctl_command *command;
	const struct ctl_option *o;

	(void)fputs("# What fish completes tusctl with.\n"
		    "complete -c tusctl -f\n"
		    "complete -c tusctl -n __fish_use_subcommand -s c -r -F "
		    "-d configuration\n"
		    "complete -c tusctl -n __fish_use_subcommand -s h "
		    "-d 'all commands'\n"
		    "complete -c tusctl -n __fish_use_subcommand -s V "
		    "-d version\n",
	    stdout);
	for (command = commands; command->name != NULL; command++) {
		const char *name = command->name;

		(void)printf("complete -c tusctl -n __fish_use_subcommand "
			     "-a %s -d '%s'\n",
		    name, command->purpose);
		(void)printf("complete -c tusctl -n "
			     "'__fish_seen_subcommand_from %s' -l help "
			     "-d 'what there is to know'\n",
		    name);
		for (o = command->options; has(o); o++) {
			(void)printf("complete -c tusctl -n "
				     "'__fish_seen_subcommand_from %s' -l %s "
				     "-d '%s'%s",
			    name, o->name, o->purpose,
			    o->argument != NULL ? " -x" : "");
			if (o->words != NULL) {
				(void)printf(" -a '");
				print_list(o->words);
				(void)printf("'");
			}
			(void)printf("\n");
		}
		if (command->words == NULL)
			continue;
		(void)printf("complete -c tusctl -n "
			     "'__fish_seen_subcommand_from %s' -a '",
		    name);
		print_list(command->words);
		(void)printf("'\n");
	}
}

int
ctl_completion(struct ctl *c, int argc, char **argv)
{
	static void (*const print[])(const struct ctl_command *) = {
		complete_bash, complete_zsh, complete_fish
	};
	size_t i;

	if (ctl_option(c, argc, argv) != -1)
		return CTL_USAGE;
	for (i = 0; optind + 1 == argc && ctl_shells[i] != NULL; i++)
		if (strcmp(ctl_shells[i], argv[optind]) == 0) {
			print[i](c->commands);
			return CTL_OK;
		}
	return ctl_usage("completion takes one of bash, zsh and fish");
}
