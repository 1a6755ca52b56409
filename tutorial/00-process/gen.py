import re
src=open('/work/main/whalebox.c').read()
s=open('README.md').read()
def fn(m):
    name=re.search(r'/\^(static .*?)\\?/',m.group(1)).group(1).replace('\\','')
    i=src.index('\n'+name)+1
    while '{' not in src[i:src.index('\n',i)] and src[src.index('\n',i)-1]==';':
        i=src.index('\n'+name,i)+1
    return '<!-- code: '+m.group(1)+' -->\n```c\n'+src[i:src.index('\n}\n',i)+3]+'```\n'
s=re.sub(r'<!-- code: (.*?) -->\n```c\n.*?```\n',fn,s,flags=re.S)
open('README.md','w').write(s)
